//! The logs of well-known gateways, as they are without further configuration where that is possible.

use super::{Mapping, Take};

/// Name of each preset, and what it reads.
pub const PRESETS: [(&str, &str); 5] = [
    ("native", "keywatch's own form (docs/reference/events.md)"),
    ("kong", "Kong Gateway: http-log, file-log, kafka-log and the other logging plugins"),
    ("envoy", "Envoy's JSON access log, with the field names of Envoy Gateway or Istio"),
    ("cloudtrail", "AWS CloudTrail: log files (`Records`), or a record a line"),
    ("nginx", "nginx with a JSON log_format whose fields have the names of nginx's variables"),
];

/// The mapping of a preset; `None` for `native` and for a name that is none.
pub fn preset(name: &str) -> Option<Mapping> {
    match name {
        "kong" => Some(kong()),
        "envoy" => Some(envoy()),
        "cloudtrail" => Some(cloudtrail()),
        "nginx" => Some(nginx()),
        _ => None,
    }
}

fn at(pointers: &[&str]) -> Take {
    Take::Pointers(pointers.iter().map(|pointer| (*pointer).to_owned()).collect())
}

fn kong() -> Mapping {
    Mapping {
        records: None,
        names_access_keys: false,
        fields: vec![
            ("event_id", at(&["/request/id", "/response/headers/x-kong-request-id"])),
            ("ts", at(&["/started_at"])),
            ("key_id", at(&["/authenticated_entity/id"])),
            ("api_key", at(&["/request/headers/x-api-key", "/request/headers/apikey"])),
            (
                "merchant_id",
                at(&["/consumer/custom_id", "/consumer/username", "/consumer/id", "/authenticated_entity/consumer_id"]),
            ),
            ("method", at(&["/request/method"])),
            ("path", at(&["/request/uri"])),
            ("source_ip", at(&["/client_ip"])),
            ("forwarded_for", at(&["/request/headers/x-forwarded-for"])),
            ("user_agent", at(&["/request/headers/user-agent"])),
            ("origin", at(&["/request/headers/origin"])),
            ("referer", at(&["/request/headers/referer"])),
            ("status", at(&["/response/status"])),
        ],
    }
}

fn envoy() -> Mapping {
    Mapping {
        records: None,
        names_access_keys: false,
        fields: vec![
            ("event_id", at(&["/request_id", "/x-request-id", "/x_request_id"])),
            ("ts", at(&["/start_time", "/timestamp", "/time"])),
            ("key_id", at(&["/key_id", "/x-key-id", "/x_key_id", "/x-client-id", "/x_client_id"])),
            ("api_key", at(&["/x-api-key", "/x_api_key", "/api_key"])),
            ("merchant_id", at(&["/merchant_id", "/x-merchant-id", "/x_merchant_id"])),
            ("endpoint_env", at(&["/endpoint_env"])),
            ("method", at(&["/method"])),
            ("path", at(&["/x-envoy-origin-path", "/path"])),
            ("source_ip", at(&["/downstream_remote_address", "/downstream_direct_remote_address", "/client_ip"])),
            ("forwarded_for", at(&["/x-forwarded-for", "/x_forwarded_for"])),
            ("user_agent", at(&["/user-agent", "/user_agent"])),
            ("origin", at(&["/origin"])),
            ("referer", at(&["/referer"])),
            ("status", at(&["/response_code"])),
        ],
    }
}

fn nginx() -> Mapping {
    Mapping {
        records: None,
        names_access_keys: false,
        fields: vec![
            ("event_id", at(&["/request_id"])),
            ("ts", at(&["/msec", "/time_iso8601", "/@timestamp", "/time", "/time_local"])),
            ("key_id", at(&["/key_id", "/upstream_http_x_key_id", "/sent_http_x_key_id"])),
            ("api_key", at(&["/http_x_api_key", "/http_apikey"])),
            (
                "merchant_id",
                at(&["/merchant_id", "/upstream_http_x_merchant_id", "/sent_http_x_merchant_id", "/remote_user"]),
            ),
            ("endpoint_env", at(&["/endpoint_env"])),
            ("method", at(&["/request_method", "/method"])),
            ("path", at(&["/request_uri", "/uri", "/request_path"])),
            ("source_ip", at(&["/remote_addr", "/realip_remote_addr"])),
            ("forwarded_for", at(&["/http_x_forwarded_for"])),
            ("user_agent", at(&["/http_user_agent"])),
            ("origin", at(&["/http_origin"])),
            ("referer", at(&["/http_referer", "/http_referrer"])),
            ("status", at(&["/status"])),
        ],
    }
}

/// An access key ID is a name, not the secret; CloudTrail never has the secret. Which errors are refusals is AWS's word:
/// "Common errors" of its API references.
fn cloudtrail() -> Mapping {
    let words =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    Mapping {
        records: Some("/Records".into()),
        names_access_keys: true,
        fields: vec![
            ("event_id", at(&["/eventID"])),
            ("ts", at(&["/eventTime"])),
            ("key_id", at(&["/userIdentity/accessKeyId"])),
            ("key_env", Take::Always("live".into())),
            ("merchant_id", at(&["/userIdentity/accountId", "/recipientAccountId"])),
            ("endpoint_env", Take::Always("live".into())),
            ("path", Take::Path(vec!["/eventSource".into(), "/eventName".into()], ".amazonaws.com")),
            ("source_ip", at(&["/sourceIPAddress"])),
            ("user_agent", at(&["/userAgent"])),
            (
                "outcome",
                Take::Words(
                    "/errorCode".into(),
                    words(&[
                        ("AccessDenied", "denied"),
                        ("AccessDeniedException", "denied"),
                        ("UnauthorizedOperation", "denied"),
                        ("Client.UnauthorizedOperation", "denied"),
                        ("AuthFailure", "denied"),
                        ("Client.AuthFailure", "denied"),
                        ("InvalidClientTokenId", "denied"),
                        ("InvalidAccessKeyId", "denied"),
                        ("UnrecognizedClientException", "denied"),
                        ("SignatureDoesNotMatch", "denied"),
                        ("ExpiredToken", "denied"),
                        ("ExpiredTokenException", "denied"),
                        ("ThrottlingException", "denied"),
                        ("Throttling", "denied"),
                        ("RequestLimitExceeded", "denied"),
                        ("Client.RequestLimitExceeded", "denied"),
                        ("*", "ok"),
                    ]),
                ),
            ),
            (
                "reason",
                Take::Words(
                    "/errorCode".into(),
                    words(&[
                        ("AuthFailure", "unknown_key"),
                        ("Client.AuthFailure", "unknown_key"),
                        ("InvalidClientTokenId", "unknown_key"),
                        ("InvalidAccessKeyId", "unknown_key"),
                        ("UnrecognizedClientException", "unknown_key"),
                        ("SignatureDoesNotMatch", "malformed_key"),
                        ("ExpiredToken", "expired_key"),
                        ("ExpiredTokenException", "expired_key"),
                        ("ThrottlingException", "rate_limited"),
                        ("Throttling", "rate_limited"),
                        ("RequestLimitExceeded", "rate_limited"),
                        ("Client.RequestLimitExceeded", "rate_limited"),
                    ]),
                ),
            ),
            // A record without an error is a call that was let through.
            ("status", Take::Always("200".into())),
        ],
    }
}
