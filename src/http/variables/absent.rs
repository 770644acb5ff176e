//! What is known by name and never there: no TLS, no upstreams. Log formats speak of it
//! all the same, and get what nginx has for a request without.

use super::{BuiltIn, built_in};

macro_rules! absent {
    ($($name:literal)*) => { &[$(built_in($name, |_| None)),*] };
}

pub static TABLE: &[BuiltIn] = absent! {
    "ssl_alpn_protocol" "ssl_cipher" "ssl_ciphers" "ssl_client_cert" "ssl_client_escaped_cert"
    "ssl_client_fingerprint" "ssl_client_i_dn" "ssl_client_i_dn_legacy" "ssl_client_raw_cert"
    "ssl_client_s_dn" "ssl_client_s_dn_legacy" "ssl_client_serial" "ssl_client_sigalg"
    "ssl_client_v_end" "ssl_client_v_remain" "ssl_client_v_start" "ssl_client_verify" "ssl_curve"
    "ssl_curves" "ssl_early_data" "ssl_ech_outer_server_name" "ssl_ech_status" "ssl_protocol"
    "ssl_server_name" "ssl_session_id" "ssl_session_reused" "ssl_sigalg"
    "upstream_cache_age"
    "upstream_cache_key" "upstream_cache_last_modified" "upstream_cache_status"
    "upstream_last_server_name" "upstream_queue_time"
};
