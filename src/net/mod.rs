//! Listeners, connections, addresses.
