//! Memory: arenas, buffers, typed shared memory.
