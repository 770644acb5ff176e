import { h } from "./vendor.js";
document.getElementById("app").append(h("p", "it works"));
