//! Protocol knowledge without I/O: bytes in, values out.
