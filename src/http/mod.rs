//! HTTP: connections, requests, modules.
