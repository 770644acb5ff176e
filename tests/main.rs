//! The real binary under real signals and real sockets: a file for each feature.
//!
//! One crate, so that it links once and the tests that wait run beside each other.
//! `cargo test --test server reload::` runs a file of them.
mod common;

mod access;
mod activation;
mod allocations;
mod autoindex;
mod channel;
mod conf;
mod config_watch;
mod container;
mod differential;
mod drain;
mod faults;
mod handover;
mod healthcheck;
mod http_connection;
mod http_files;
mod http_hostile;
mod http_log;
mod http_maps;
mod http_paths;
mod http_status;
mod http_try_files;
mod http_variables;
mod in_place;
mod limits;
mod listen;
mod logs;
mod oracle;
mod overlap;
mod pid1;
mod precompressed;
mod privileges;
mod proxy_connections;
mod proxy_protocol;
mod proxy_requests;
mod proxy_wire;
mod realip;
mod reload;
mod reopen;
mod respawn;
mod signaller;
mod signals;
mod single;
mod sites;
mod start;
mod status;
mod supervise;
mod syscalls;
mod table;
mod termination;
mod tester;
mod tls_offload;
mod upgrade;
