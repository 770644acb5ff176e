//! Directives that nginx or a well-known module of it has and limpet has not, and what
//! to do about each. A name leaves this list when a table declares it.

/// Names with one remedy.
struct Group {
    why: &'static str,
    /// A prefix, and what follows it, separated by blanks.
    names: &'static [(&'static str, &'static str)],
}

/// What to do about a directive that is known and not supported.
pub fn remedy(name: &str) -> Option<&'static str> {
    let has = |(prefix, rest): &(&str, &str)| {
        let end = name.strip_prefix(prefix);
        end.is_some_and(|end| rest.split_whitespace().any(|known| known == end))
    };
    let group = GROUPS.iter().find(|group| group.names.iter().any(has))?;
    Some(group.why)
}

/// Every name of the list.
pub fn names() -> impl Iterator<Item = String> {
    let parts = GROUPS.iter().flat_map(|group| group.names);
    parts
        .flat_map(|(prefix, rest)| rest.split_whitespace().map(move |end| format!("{prefix}{end}")))
}

const GROUPS: &[Group] = &[
    Group {
        why: "TLS is left to the layer in front of limpet: remove it, listen without \"ssl\", and \
              let a TLS terminator (load balancer, ingress, stunnel, hitch) decrypt; or say \
              \"tls_offload on;\" if one does",
        names: &[
            ("", "ssl"),
            (
                "ssl_",
                "buffer_size certificate certificate_cache certificate_compression \
              certificate_key ciphers client_certificate conf_command crl dhparam \
              early_data ecdh_curve ech_file key_log object_cache_inheritable ocsp \
              ocsp_cache ocsp_responder password_file prefer_server_ciphers protocols \
              reject_handshake session_cache session_ticket_key session_tickets \
              session_timeout stapling stapling_file stapling_responder \
              stapling_verify trusted_certificate verify_client verify_depth",
            ),
        ],
    },
    Group {
        why: "limpet speaks HTTP/1.1: remove it, a TLS terminator in front can speak HTTP/2 \
              and HTTP/3 to clients",
        names: &[(
            "",
            "http2 http2_body_preread_size http2_chunk_size http2_idle_timeout \
              http2_max_concurrent_pushes http2_max_concurrent_streams \
              http2_max_field_size http2_max_header_size http2_max_requests \
              http2_pool_size http2_push http2_push_preload http2_recv_buffer_size \
              http2_recv_timeout http2_streams_index_size http3 http3_hq \
              http3_max_concurrent_streams http3_stream_buffer_size \
              quic_active_connection_id_limit quic_bpf quic_gso quic_host_key \
              quic_retry",
        )],
    },
    Group {
        why: "there is no TLS towards upstreams: reach them in plain, or through a local TLS \
              tunnel",
        names: &[
            (
                "grpc_",
                "ssl_certificate ssl_certificate_cache ssl_certificate_key ssl_ciphers \
              ssl_conf_command ssl_crl ssl_key_log ssl_name ssl_password_file \
              ssl_protocols ssl_server_name ssl_session_reuse ssl_trusted_certificate \
              ssl_verify ssl_verify_depth",
            ),
            (
                "proxy_",
                "ssl_certificate ssl_certificate_cache ssl_certificate_key ssl_ciphers \
              ssl_conf_command ssl_crl ssl_key_log ssl_name ssl_password_file \
              ssl_protocols ssl_server_name ssl_session_reuse ssl_trusted_certificate \
              ssl_verify ssl_verify_depth",
            ),
            (
                "uwsgi_",
                "ssl_certificate ssl_certificate_cache ssl_certificate_key ssl_ciphers \
              ssl_conf_command ssl_crl ssl_key_log ssl_name ssl_password_file \
              ssl_protocols ssl_server_name ssl_session_reuse ssl_trusted_certificate \
              ssl_verify ssl_verify_depth",
            ),
        ],
    },
    Group { why: "limpet is no mail proxy: keep nginx for it", names: &[("", "mail")] },
    Group {
        why: "it belongs to a module that nginx loads, and limpet loads none: remove it",
        names: &[(
            "",
            "access_by_lua_block access_by_lua_file body_filter_by_lua_block brotli \
              brotli_buffers brotli_comp_level brotli_min_length \
              brotli_types brotli_window content_by_lua_block content_by_lua_file \
              degradation degrade geoip_city geoip_country geoip_org geoip_proxy \
              geoip_proxy_recursive google_perftools_profiles \
              header_filter_by_lua_block image_filter image_filter_buffer \
              image_filter_interlace image_filter_jpeg_quality image_filter_sharpen \
              image_filter_transparency image_filter_webp_quality init_by_lua_block \
              init_worker_by_lua_block js_body_filter js_content js_fetch_buffer_size \
              js_header_filter js_import js_include js_path js_periodic \
              js_preload_object js_set js_shared_dict_zone js_var log_by_lua_block \
              lua_package_path lua_shared_dict modsecurity modsecurity_rules \
              modsecurity_rules_file more_clear_headers more_clear_input_headers \
              more_set_headers more_set_input_headers otel_exporter otel_service_name \
              otel_span_attr otel_span_name otel_trace otel_trace_context pagespeed \
              passenger_enabled passenger_root perl perl_modules perl_require perl_set \
              rewrite_by_lua_block set_by_lua_block vhost_traffic_status_display \
              vhost_traffic_status_zone xml_entities xslt_last_modified xslt_param \
              xslt_string_param xslt_stylesheet xslt_types zstd ",
        )],
    },
    Group {
        why: "it belongs to NGINX Plus: remove it",
        names: &[(
            "",
            "api auth_jwt auth_jwt_claim_set auth_jwt_header_set auth_jwt_key_cache \
              auth_jwt_key_file auth_jwt_key_request auth_jwt_leeway auth_jwt_require \
              auth_jwt_type auth_oidc auth_require auth_saml f4f f4f_buffer_size \
              fastcgi_cache_purge health_check_timeout hls hls_buffers \
              hls_forward_args hls_fragment hls_mp4_buffer_size \
              hls_mp4_max_buffer_size internal_redirect keyval keyval_zone mgmt \
              ntlm proxy_cache_purge queue scgi_cache_purge session_log \
              session_log_format session_log_zone state status_format status_zone \
              uwsgi_cache_purge zone_sync zone_sync_server",
        )],
    },
    Group {
        why: "TCP and UDP proxying is not built yet: keep nginx for it",
        names: &[(
            "",
            "preread_buffer_size preread_timeout proxy_download_rate proxy_half_close \
              proxy_protocol proxy_protocol_timeout proxy_requests proxy_responses \
              proxy_session_drop proxy_upload_rate stream",
        )],
    },
    Group {
        why: "answers are not cached yet: remove it, and each request goes to the upstream",
        names: &[
            (
                "fastcgi_",
                "cache_background_update cache_key cache_lock cache_lock_age \
              cache_lock_timeout cache_max_range_offset cache_methods cache_min_uses \
              cache_path cache_revalidate cache_use_stale cache_valid",
            ),
            (
                "proxy_",
                "cache_background_update cache_convert_head cache_key cache_lock \
              cache_lock_age cache_lock_timeout cache_max_range_offset cache_methods \
              cache_min_uses cache_revalidate cache_use_stale cache_valid",
            ),
        ],
    },
    Group {
        why: "this protocol is not built yet: speak HTTP (proxy_pass) or FastCGI (fastcgi_pass) \
              to the application",
        names: &[
            (
                "grpc_",
                "bind buffer_size connect_timeout hide_header ignore_headers \
              intercept_errors next_upstream next_upstream_timeout next_upstream_tries \
              pass pass_header read_timeout send_timeout set_header socket_keepalive",
            ),
            (
                "memcached_",
                "bind buffer_size connect_timeout gzip_flag next_upstream \
              next_upstream_timeout next_upstream_tries pass read_timeout send_timeout \
              socket_keepalive",
            ),
            (
                "scgi_",
                "bind buffer_size buffering buffers busy_buffers_size cache \
              cache_background_update cache_bypass cache_key cache_lock cache_lock_age \
              cache_lock_timeout cache_max_range_offset cache_methods cache_min_uses \
              cache_path cache_revalidate cache_use_stale cache_valid connect_timeout \
              force_ranges hide_header ignore_client_abort ignore_headers \
              intercept_errors limit_rate max_temp_file_size next_upstream \
              next_upstream_timeout next_upstream_tries no_cache param pass \
              pass_header pass_request_body pass_request_headers read_timeout \
              request_buffering send_timeout socket_keepalive store store_access \
              temp_file_write_size temp_path",
            ),
            (
                "uwsgi_",
                "bind buffer_size buffering buffers busy_buffers_size cache \
              cache_background_update cache_bypass cache_key cache_lock cache_lock_age \
              cache_lock_timeout cache_max_range_offset cache_methods cache_min_uses \
              cache_path cache_revalidate cache_use_stale cache_valid connect_timeout \
              force_ranges hide_header ignore_client_abort ignore_headers \
              intercept_errors limit_rate max_temp_file_size modifier1 modifier2 \
              next_upstream next_upstream_timeout next_upstream_tries no_cache param \
              pass pass_header pass_request_body pass_request_headers read_timeout \
              request_buffering send_timeout socket_keepalive store store_access \
              string temp_file_write_size temp_path",
            ),
        ],
    },
    Group {
        why: "it is not built yet: remove it, or keep nginx for this site",
        names: &[(
            "",
            "add_after_body add_before_body \
              addition_types ancient_browser ancient_browser_value \
              charset_map \
              create_full_put_path \
              dav_access dav_methods \
              flv gunzip gunzip_buffers \
              min_delete_depth \
              modern_browser modern_browser_value mp4 \
              mp4_buffer_size mp4_max_buffer_size mp4_start_key_frame \
              post_action \
              random_index \
              secure_link \
              secure_link_md5 secure_link_secret slice \
              source_charset ssi ssi_ignore_recycled_buffers \
              ssi_last_modified ssi_min_file_chunk ssi_silent_errors ssi_types \
              ssi_value_length sub_filter sub_filter_last_modified \
              sub_filter_once sub_filter_types \
              userid userid_domain userid_expires userid_flags userid_mark userid_name \
              userid_p3p userid_path userid_service",
        )],
    },
];
