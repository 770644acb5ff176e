//! The kernel, safely: the only floor, with three files of `mem`, that may be unsafe.
