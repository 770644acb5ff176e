//! The tables of the http core module. What limpet has no use for is checked as nginx
//! does and then ignored; the reason stands with it.

use super::error_page::error_page;
use super::root::{alias, root};
use super::setters::*;
use super::symlinks::disable_symlinks;
use super::types::types;
use super::{Amount, IfModifiedSince, Lingering, LocRaw, Satisfy, ServerTokens, SrvRaw};
use crate::conf::{Args, Context, Directive, Error, Node, choice, put};
use std::rc::Rc;

const ALL: Context = Context::ALL;
const HTTP: Context = Context::HTTP;
const SRV_CONTEXTS: Context = Context::HTTP.or(Context::SERVER);
const LOCATION: Context = Context::LOCATION;

pub static SRV: &[Directive<SrvRaw>] = &[
    Directive::msec("client_header_timeout", SRV_CONTEXTS, |raw| &mut raw.client_header_timeout),
    Directive::size("client_header_buffer_size", SRV_CONTEXTS, |raw| {
        &mut raw.client_header_buffer_size
    }),
    Directive::call("large_client_header_buffers", SRV_CONTEXTS, Args::TWO, |raw, _, node| {
        put(&mut raw.large_client_header_buffers, node, large_buffers(node))
    }),
    Directive::flag("ignore_invalid_headers", SRV_CONTEXTS, |raw| &mut raw.ignore_invalid_headers),
    Directive::flag("underscores_in_headers", SRV_CONTEXTS, |raw| &mut raw.underscores_in_headers),
    Directive::flag("merge_slashes", SRV_CONTEXTS, |raw| &mut raw.merge_slashes),
    Directive::number("max_headers", SRV_CONTEXTS, |raw| &mut raw.max_headers),
    Directive::flag("strict_line_endings", SRV_CONTEXTS, |raw| &mut raw.strict_line_endings),
    Directive::flag("allow_colonless_headers", SRV_CONTEXTS, |raw| {
        &mut raw.allow_colonless_headers
    }),
    Directive::flag("allow_control_bytes_in_headers", SRV_CONTEXTS, |raw| {
        &mut raw.allow_control_bytes
    }),
    // Whoever reads the level has looked for it first.
    Directive::ignored("tls_offload", SRV_CONTEXTS, Args::ONE, is_flag, "it is known already"),
    Directive::ignored("connection_pool_size", SRV_CONTEXTS, Args::ONE, pool_size, NO_POOLS),
    Directive::ignored("request_pool_size", SRV_CONTEXTS, Args::ONE, pool_size, NO_POOLS),
];

const NO_POOLS: &str = "limpet has no pools: what a connection needs is laid out beforehand";
const OWN_TABLES: &str = "limpet's tables fit what is in them";
const NO_DIRECT_IO: &str = "limpet reads files through the page cache";
const OWN_SENDS: &str = "limpet joins what belongs together by itself";

pub static LOC: &[Directive<LocRaw>] = &[
    // Where files and pages are, and where errors are told.
    Directive::call("root", ALL.or(Context::LIF), Args::ONE, root),
    Directive::call("alias", LOCATION, Args::ONE, alias),
    Directive::block("types", ALL, Args::NONE, types),
    Directive::call("default_type", ALL, Args::ONE, |raw, _, node| {
        put(&mut raw.default_type, node, Ok(Rc::from(node.arg(0).bytes())))
    }),
    Directive::call("error_page", ALL.or(Context::LIF), Args::TWO_MORE, error_page),
    Directive::flag("recursive_error_pages", ALL, |raw| &mut raw.recursive_error_pages),
    Directive::call("error_log", ALL, Args::ONE_MORE, |raw, cx, node| {
        let logs = Rc::clone(raw.error_log.get_or_insert_with(|| cx.error_logs()));
        cx.error_log(node, &logs)
    }),
    Directive::call("internal", LOCATION, Args::NONE, |raw, _, node| {
        put(&mut raw.internal, node, Ok(true))
    }),
    Directive::call("satisfy", ALL, Args::ONE, |raw, _, node| {
        let kinds = [("all", Satisfy::All), ("any", Satisfy::Any)];
        put(&mut raw.satisfy, node, choice(node, 0, &kinds))
    }),
    Directive::msec("auth_delay", ALL, |raw| &mut raw.auth_delay),
    Directive::call("disable_symlinks", ALL, Args::ONE_TWO, disable_symlinks),
    Directive::flag("log_not_found", ALL, |raw| &mut raw.log_not_found),
    // How bytes leave.
    Directive::flag("sendfile", ALL.or(Context::LIF), |raw| &mut raw.sendfile),
    Directive::size("sendfile_max_chunk", ALL, |raw| &mut raw.sendfile_max_chunk),
    Directive::flag("tcp_nopush", ALL, |raw| &mut raw.tcp_nopush),
    Directive::flag("tcp_nodelay", ALL, |raw| &mut raw.tcp_nodelay),
    Directive::msec("send_timeout", ALL, |raw| &mut raw.send_timeout),
    ignored("postpone_output", ALL, Args::ONE, is_size, OWN_SENDS),
    Directive::call("limit_rate", ALL.or(Context::LIF), Args::ONE, |raw, cx, node| {
        let rate = Amount::read(cx, node);
        put(&mut raw.limit_rate, node, rate)
    }),
    Directive::call("limit_rate_after", ALL.or(Context::LIF), Args::ONE, |raw, cx, node| {
        let after = Amount::read(cx, node);
        put(&mut raw.limit_rate_after, node, after)
    }),
    // How long a connection lives.
    Directive::call("keepalive_timeout", ALL, Args::ONE_TWO, keepalive_timeout),
    Directive::number("keepalive_requests", ALL, |raw| &mut raw.keepalive_requests),
    Directive::msec("keepalive_time", ALL, |raw| &mut raw.keepalive_time),
    Directive::call("keepalive_disable", ALL, Args::ONE_TWO, keepalive_disable),
    // What a client may send, and how it is got rid of.
    Directive::off("client_max_body_size", ALL, |raw| &mut raw.client_max_body_size),
    Directive::msec("client_body_timeout", ALL, |raw| &mut raw.client_body_timeout),
    Directive::call("lingering_close", ALL, Args::ONE, |raw, _, node| {
        let kinds = [("off", Lingering::Off), ("on", Lingering::On), ("always", Lingering::Always)];
        put(&mut raw.lingering_close, node, choice(node, 0, &kinds))
    }),
    Directive::msec("lingering_time", ALL, |raw| &mut raw.lingering_time),
    Directive::msec("lingering_timeout", ALL, |raw| &mut raw.lingering_timeout),
    Directive::flag("reset_timedout_connection", ALL, |raw| &mut raw.reset_timedout_connection),
    // What an answer says.
    Directive::call("server_tokens", ALL, Args::ONE, |raw, _, node| {
        let kinds =
            [("off", ServerTokens::Off), ("on", ServerTokens::On), ("build", ServerTokens::Build)];
        put(&mut raw.server_tokens, node, choice(node, 0, &kinds))
    }),
    Directive::flag("etag", ALL, |raw| &mut raw.etag),
    Directive::call("if_modified_since", ALL, Args::ONE, |raw, _, node| {
        let kinds = [
            ("off", IfModifiedSince::Off),
            ("exact", IfModifiedSince::Exact),
            ("before", IfModifiedSince::Before),
        ];
        put(&mut raw.if_modified_since, node, choice(node, 0, &kinds))
    }),
    Directive::number("max_ranges", ALL, |raw| &mut raw.max_ranges),
    Directive::flag("chunked_transfer_encoding", ALL, |raw| &mut raw.chunked_transfer_encoding),
    Directive::flag("msie_padding", ALL, |raw| &mut raw.msie_padding),
    Directive::flag("msie_refresh", ALL, |raw| &mut raw.msie_refresh),
    Directive::flag("absolute_redirect", ALL, |raw| &mut raw.absolute_redirect),
    Directive::flag("server_name_in_redirect", ALL, |raw| &mut raw.server_name_in_redirect),
    Directive::flag("port_in_redirect", ALL, |raw| &mut raw.port_in_redirect),
    // How long it is trusted that a path still names what it did. How much is kept is the
    // cache's own (http/file_cache.rs): `max` is checked and means nothing.
    Directive::call("open_file_cache", ALL, Args::ONE_TWO, |raw, _, node| {
        put(&mut raw.open_file_cache, node, open_file_cache(node))
    }),
    Directive::sec("open_file_cache_valid", ALL, |raw| &mut raw.open_file_cache_valid),
    Directive::number("open_file_cache_min_uses", ALL, |raw| &mut raw.open_file_cache_min_uses),
    Directive::flag("open_file_cache_errors", ALL, |raw| &mut raw.open_file_cache_errors),
    ignored("open_file_cache_events", ALL, Args::ONE, is_flag, "nginx uses it with kqueue only"),
    // Nothing to do here, and why.
    ignored("types_hash_max_size", ALL, Args::ONE, is_number, OWN_TABLES),
    ignored("types_hash_bucket_size", ALL, Args::ONE, is_number, OWN_TABLES),
    ignored("server_names_hash_max_size", HTTP, Args::ONE, is_number, OWN_TABLES),
    ignored("server_names_hash_bucket_size", HTTP, Args::ONE, is_number, OWN_TABLES),
    ignored("variables_hash_max_size", HTTP, Args::ONE, is_number, OWN_TABLES),
    ignored("variables_hash_bucket_size", HTTP, Args::ONE, is_number, OWN_TABLES),
    ignored("aio", ALL, Args::ONE, aio, "limpet reads files without waiting, or by sendfile"),
    ignored("aio_write", ALL, Args::ONE, is_flag, "limpet has no asynchronous file access"),
    ignored("directio", ALL, Args::ONE, directio, NO_DIRECT_IO),
    ignored("directio_alignment", ALL, Args::ONE, is_off, NO_DIRECT_IO),
    ignored("read_ahead", ALL, Args::ONE, is_size, "the kernel reads ahead by itself"),
    ignored("output_buffers", ALL, Args::TWO, is_buffers, "limpet's are as large as suits it"),
    Directive::call("early_hints", ALL, Args::ONE_MORE, |raw, cx, node| {
        let texts = node.args().map(|word| cx.template(word)).collect::<Result<_, _>>();
        put(&mut raw.early_hints, node, texts.map(Rc::new))
    }),
    ignored("send_lowat", ALL, Args::ONE, is_size, "nginx uses it on FreeBSD only"),
    Directive::flag("log_subrequest", ALL, |raw| &mut raw.log_subrequest),
    ignored("subrequest_output_buffer_size", ALL, Args::ONE, is_size, OWN_SENDS),
];

/// A directive that is checked and has nothing to do; see `Directive::ignored`.
const fn ignored(
    name: &'static str,
    contexts: Context,
    args: Args,
    check: fn(Node) -> Result<(), Error>,
    why: &'static str,
) -> Directive<LocRaw> {
    Directive::ignored(name, contexts, args, check, why)
}
