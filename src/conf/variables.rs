//! The names of nginx's variables: in `${name}` they win over the environment.

/// Names that begin so are made of a request or an answer.
const PREFIXES: [&[u8]; 11] = [
    b"arg_",
    b"cookie_",
    b"http_",
    b"proxy_protocol_tlv_",
    b"sent_http_",
    b"sent_trailer_",
    b"ssl_",
    b"upstream_cookie_",
    b"upstream_http_",
    b"upstream_trailer_",
    b"jwt_",
];

/// Every other variable of nginx's modules.
#[rustfmt::skip]
const NAMES: &[&[u8]] = &[
    b"ancient_browser", b"args", b"binary_remote_addr", b"body_bytes_sent", b"bytes_received",
    b"bytes_sent", b"connection", b"connection_requests", b"connection_time",
    b"connections_active", b"connections_reading", b"connections_waiting",
    b"connections_writing", b"content_length", b"content_type", b"date_gmt", b"date_local",
    b"document_root", b"document_uri", b"fastcgi_path_info", b"fastcgi_script_name",
    b"geoip_area_code", b"geoip_city", b"geoip_city_continent_code", b"geoip_city_country_code",
    b"geoip_city_country_code3", b"geoip_city_country_name", b"geoip_country_code",
    b"geoip_country_code3", b"geoip_country_name", b"geoip_dma_code", b"geoip_latitude",
    b"geoip_longitude", b"geoip_org", b"geoip_postal_code", b"geoip_region",
    b"geoip_region_name", b"gzip_ratio", b"host", b"hostname", b"http2", b"http3", b"https",
    b"invalid_referer", b"is_args", b"is_request_port", b"limit_conn_status", b"limit_rate",
    b"limit_req_status", b"memcached_key", b"modern_browser", b"msec", b"msie",
    b"nginx_version", b"pid", b"pipe", b"protocol", b"proxy_add_x_forwarded_for", b"proxy_host",
    b"proxy_internal_body_length", b"proxy_internal_chunked", b"proxy_port",
    b"proxy_protocol_addr", b"proxy_protocol_port", b"proxy_protocol_server_addr",
    b"proxy_protocol_server_port", b"query_string", b"realip_remote_addr",
    b"realip_remote_port", b"realpath_root", b"remote_addr", b"remote_port", b"remote_user",
    b"request", b"request_body", b"request_body_file", b"request_completion",
    b"request_filename", b"request_id", b"request_length", b"request_method", b"request_port",
    b"request_time", b"request_uri", b"scheme", b"secure_link", b"secure_link_expires",
    b"server_addr", b"server_name", b"server_port", b"server_protocol", b"session_time",
    b"slice_range", b"status", b"tcpinfo_rcv_space", b"tcpinfo_rtt", b"tcpinfo_rttvar",
    b"tcpinfo_snd_cwnd", b"time_iso8601", b"time_local", b"uid_got", b"uid_reset", b"uid_set",
    b"upstream_addr", b"upstream_bytes_received", b"upstream_bytes_sent", b"upstream_cache_age",
    b"upstream_cache_key", b"upstream_cache_last_modified", b"upstream_cache_status",
    b"upstream_connect_time", b"upstream_first_byte_time", b"upstream_header_time",
    b"upstream_last_server_name", b"upstream_queue_time", b"upstream_response_length",
    b"upstream_response_time", b"upstream_session_time", b"upstream_status", b"uri",
];

/// A variable of nginx.
pub fn is_builtin(name: &[u8]) -> bool {
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
