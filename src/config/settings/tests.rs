//! The rules of the settings as a whole.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;
use crate::types::units::ByteSize;

fn temporary(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

fn load(toml: &str, variables: &[(&str, &str)]) -> Result<Settings, SettingsErrors> {
    Settings::from_sources(Some(temporary(toml).path()), variables.iter().copied())
}

fn mistakes(toml: &str, variables: &[(&str, &str)]) -> String {
    load(toml, variables).map_or_else(|mistakes| mistakes.to_string(), |_| String::new())
}

/// What the service would say, with all the rest.
fn mistakes_of_serve(variables: &[(&str, &str)]) -> String {
    let (settings, mut errors) = Settings::gather(None, variables.iter().copied());
    settings.require(&mut errors);
    errors
        .into_result(())
        .map_or_else(|mistakes| mistakes.to_string(), |()| String::new())
}

#[test]
fn nothing_set_means_the_documented_defaults() {
    let settings = Settings::default();
    assert_eq!(settings.server.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(settings.server.keep_alive_timeout, Duration::from_secs(75));
    assert_eq!(
        settings.egain.base_url.as_str(),
        "https://api.egain.cloud/conversation/conversationmgr/v3"
    );
    assert_eq!(
        settings.egain.content_hosts,
        ["*.egain.cloud".parse().unwrap()]
    );
    assert_eq!(settings.limits.max_asset_size, ByteSize::mib(10));
    assert_eq!(
        (
            settings.policy.deny,
            settings.auth.mode,
            settings.log.format
        ),
        (None, None, None)
    );
}

#[test]
fn every_default_is_a_value_that_can_be_written() {
    for key in Settings::keys().filter(|key| key.preset) {
        let written = Settings::from_sources(None, [(key.variable(), key.default)]).unwrap();
        assert_eq!(
            written.render(),
            Settings::default().render(),
            "{}",
            key.name
        );
    }
}

#[test]
fn every_key_is_described_and_stands_alone() {
    let names: BTreeSet<&str> = Settings::keys().map(|key| key.name).collect();
    assert_eq!(names.len(), Settings::keys().count());
    for key in Settings::keys() {
        assert!(!key.doc.is_empty(), "{}", key.name);
        assert_eq!(key.name, format!("{}.{}", key.section(), key.field()));
    }
}

#[test]
fn the_table_and_the_structs_have_the_same_keys() {
    let settings = Settings::default();
    assert_eq!(Settings::keys().count(), settings.values().len());
    for (key, value) in Settings::keys().zip(settings.values()) {
        assert_eq!(key.preset, value.is_some(), "{}", key.name);
    }
}

#[test]
fn a_variable_overrides_the_file_which_overrides_the_default() {
    let toml = "[egain]\nreplicas = 2\nscope = \"file\"\n";
    let settings = load(toml, &[("ASSET_GATEWAY_EGAIN__SCOPE", "variable")]).unwrap();
    assert_eq!(
        (settings.egain.replicas, settings.egain.scope.as_str()),
        (2, "variable")
    );
    assert_eq!(settings.egain.budget_wait, Duration::from_secs(5));
}

#[test]
fn the_file_may_be_named_by_a_variable() {
    let (outer, inner) = (
        temporary("[egain]\nreplicas = 2\n"),
        temporary("[egain]\nreplicas = 3\n"),
    );
    let variables = || [("ASSET_GATEWAY_CONFIG", outer.path())];
    assert_eq!(
        Settings::from_sources(None, variables())
            .unwrap()
            .egain
            .replicas,
        2
    );
    assert_eq!(
        Settings::from_sources(Some(inner.path()), variables())
            .unwrap()
            .egain
            .replicas,
        3
    );
}

#[test]
fn an_unreadable_file_is_reported_under_its_source() {
    let told = |file, variables: &[(&str, &str)]| {
        Settings::from_sources(file, variables.iter().copied())
            .unwrap_err()
            .to_string()
    };
    assert!(told(Some(Path::new("/no/such")), &[]).starts_with("--config: can't read /no/such: "));
    assert!(
        told(None, &[("ASSET_GATEWAY_CONFIG", "/no/such")])
            .starts_with("ASSET_GATEWAY_CONFIG: can't read /no/such: ")
    );
}

#[test]
fn variables_that_are_no_keys_are_left_alone() {
    let injected = [
        ("ASSET_GATEWAY_PORT", "tcp://10.0.0.1:80"),
        ("ASSET_GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("OTHER__KEY", "x"),
    ];
    assert_eq!(mistakes("", &injected), "");
}

#[test]
fn all_mistakes_are_reported_under_their_written_names() {
    let toml = r#"
        surprise = 1
        "egain.rate" = 1
        [sever]
        listen = "0.0.0.0:1"
        [server]
        max_uploads = "many"
        header_timeout = 10
        read_buffer = "4KiB"
        [egain]
        rates = 5
        burst = 3
        plan = "premium"
        upload_method = "patch"
        [policy]
        deny = ["image"]
    "#;
    let variables = [
        ("ASSET_GATEWAY_EGAIN__BASE_URL", "ftp://x"),
        ("ASSET_GATEWAY_EGAIN__BUDGET_WAITS", "5s"),
        ("ASSET_GATEWAY_LIMITS__SPOOL_TOTAL", "1KiB"),
        ("ASSET_GATEWAY_NO__SUCH", "1"),
    ];
    let told = mistakes(toml, &variables);
    let expected = [
        r#""egain.rate": unknown key, did you mean egain.rate?"#,
        "ASSET_GATEWAY_EGAIN__BASE_URL: expected an http or https URL with a host, and without \
         user, password, query and fragment",
        "ASSET_GATEWAY_EGAIN__BUDGET_WAITS: unknown key, did you mean \
         ASSET_GATEWAY_EGAIN__BUDGET_WAIT?",
        "ASSET_GATEWAY_NO__SUCH: unknown key",
        "egain.burst: needs egain.rate, which isn't set",
        r#"egain.plan: expected one of developer, basic, enterprise, found "premium""#,
        "egain.rates: unknown key, did you mean egain.rate?",
        r#"egain.upload_method: expected one of auto, post, put, found "patch""#,
        "limits.spool_memory: 256KiB is more than limits.spool_total (1KiB)",
        r#"policy.deny: `image` is no pattern of types: write `image/png`, `image/*` or `*/*`"#,
        "server.header_timeout: expected a duration such as 30s or 5m, found 10",
        r#"server.max_uploads: expected a whole number, found the string "many""#,
        "server.read_buffer: must be between 16KiB and 1MiB, is 4KiB",
        "sever: unknown section, did you mean server?",
        "surprise: unknown key",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn broken_toml_is_reported_by_line_and_not_quoted() {
    for broken in [
        "token = \"hunter2",
        "token = hunter2",
        "hunter2",
        "token = \"hunter2\"\ntoken = \"hunter2\"",
        "[hunter2",
    ] {
        let told = mistakes(
            &format!("[egain]\n{broken}\n"),
            &[("ASSET_GATEWAY_EGAIN__REPLICAS", "0")],
        );
        let lines: Vec<&str> = told.lines().collect();
        assert!(
            lines.len() == 2 && (lines[0].contains(":2: ") || lines[0].contains(":3: ")),
            "{told}"
        );
        assert!(
            lines[1].starts_with("ASSET_GATEWAY_EGAIN__REPLICAS: ") && !told.contains("hunter2"),
            "{told}"
        );
    }
}

#[test]
fn a_broken_files_settings_are_not_reported_as_missing() {
    assert_eq!(
        mistakes("[egain]\nrate =\n", &[("ASSET_GATEWAY_EGAIN__BURST", "1")])
            .lines()
            .count(),
        1
    );
    assert_eq!(
        mistakes_of_serve(&[("ASSET_GATEWAY_CONFIG", "/no/such")])
            .lines()
            .count(),
        1
    );
}

#[test]
fn keys_of_later_versions_are_unknown() {
    let told = mistakes(
        "[download]\ncompress = true\n",
        &[("ASSET_GATEWAY_LINKS__KEY", "x")],
    );
    let expected = [
        "ASSET_GATEWAY_LINKS__KEY: unknown key",
        "download.compress: unknown key",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn secrets_that_look_like_numbers_survive() {
    for secret in ["007", "1e5", "true", "0x10", "a,b", "[1]", " spaced "] {
        let settings = load("", &[("ASSET_GATEWAY_EGAIN__CLIENT_SECRET", secret)]).unwrap();
        assert_eq!(
            settings.egain.client_secret.unwrap().expose_secret(),
            secret
        );
    }
}

#[test]
fn a_secret_may_have_its_own_file() {
    let (one, other) = (temporary("007\r\n"), temporary("hunter2\n"));
    let path = other.path().to_str().unwrap();
    let toml = format!("[egain]\nclient_secret_file = {:?}\n", one.path());
    let secret = |variables: &[(&str, &str)]| {
        load(&toml, variables)
            .unwrap()
            .egain
            .client_secret
            .unwrap()
            .expose_secret()
            .to_owned()
    };
    assert_eq!(secret(&[]), "007");
    assert_eq!(
        secret(&[("ASSET_GATEWAY_EGAIN__CLIENT_SECRET_FILE", path)]),
        "hunter2"
    );
    assert_eq!(
        secret(&[("ASSET_GATEWAY_EGAIN__CLIENT_SECRET", "direct")]),
        "direct"
    );
}

#[test]
fn a_secret_given_twice_or_unreadable_is_a_mistake() {
    let told = mistakes(
        "[egain]\ntoken = \"a\"\ntoken_file = \"b\"\n",
        &[("ASSET_GATEWAY_EGAIN__CLIENT_SECRET_FILE", "/no/such")],
    );
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[0].starts_with("ASSET_GATEWAY_EGAIN__CLIENT_SECRET_FILE: can't read /no/such: "),
        "{told}"
    );
    assert_eq!(
        lines[1..],
        ["egain.token_file: is given together with egain.token: only one of them can hold"]
    );
}

#[test]
fn only_secrets_have_files_of_their_own() {
    assert_eq!(
        mistakes("", &[("ASSET_GATEWAY_LOG__FILTER_FILE", "x")]),
        "ASSET_GATEWAY_LOG__FILTER_FILE: unknown key"
    );
}

#[test]
fn no_mistake_and_no_debug_shows_a_secret() {
    let given = [
        ("ASSET_GATEWAY_EGAIN__TOKEN", "hunter2 "),
        ("ASSET_GATEWAY_EGAIN__CLIENT_SECRET", "hunter2"),
    ];
    let told = mistakes("", &given);
    assert!(
        told.contains("ASSET_GATEWAY_EGAIN__TOKEN: must be printable ASCII")
            && !told.contains("hunter2"),
        "{told}"
    );
    let settings = load("", &given[1..]).unwrap();
    assert!(!format!("{settings:?}{}", settings.render()).contains("hunter2"));
}

#[test]
fn what_is_shown_loads_again_and_shows_the_same() {
    let toml = r#"
        [server]
        read_buffer = 100000
        header_timeout = "1m 30s"
        [egain]
        rate = 5
        content_hosts = ["a.test", "[::1]:80"]
        token = "hunter2"
        [policy]
        deny = []
        [auth]
        mode = "none"
    "#;
    let shown = load(toml, &[]).unwrap().render();
    assert_eq!(load(&shown, &[]).unwrap().render(), shown);
    for line in [
        "read_buffer = \"100000B\"",
        "token = \"[hidden]\"",
        "deny = []",
        "rate = 5.0",
        "# plan is not set: required, or egain.rate",
    ] {
        assert!(
            shown.lines().any(|shown| shown == line),
            "{line} in {shown}"
        );
    }
}

#[test]
fn the_service_says_all_that_it_lacks() {
    let expected = [
        "auth.mode: not set: say who may call. keys takes the callers of auth.keys, jwt those \
         with a token of auth.jwt.issuer; none \
         (ASSET_GATEWAY_AUTH__MODE=none) lets anyone who can connect do everything",
        "egain.plan: not set: say developer, basic or enterprise, or set egain.rate (calls a \
         second)",
        "egain.token: not set: give a token, or egain.token_url, egain.client_id and \
         egain.client_secret",
    ];
    assert_eq!(mistakes_of_serve(&[]).lines().collect::<Vec<_>>(), expected);
    assert_eq!(
        Settings::default().for_serve().unwrap_err().iter().count(),
        expected.len()
    );
}

#[test]
fn a_token_or_complete_client_credentials_are_enough() {
    let common = [
        ("ASSET_GATEWAY_AUTH__MODE", "none"),
        ("ASSET_GATEWAY_EGAIN__RATE", "5"),
    ];
    let client = [
        ("ASSET_GATEWAY_EGAIN__TOKEN_URL", "http://localhost:1/token"),
        ("ASSET_GATEWAY_EGAIN__CLIENT_ID", "1"),
        ("ASSET_GATEWAY_EGAIN__CLIENT_SECRET", "x"),
    ];
    let token = ("ASSET_GATEWAY_EGAIN__TOKEN", "x");
    assert_eq!(
        mistakes_of_serve(&[common.as_slice(), &[token]].concat()),
        ""
    );
    assert_eq!(
        mistakes_of_serve(&[common.as_slice(), &client].concat()),
        ""
    );
    assert!(
        mistakes_of_serve(&[common.as_slice(), &client[..2]].concat())
            .starts_with("egain.client_secret: not set")
    );
    assert_eq!(
        mistakes_of_serve(&[common.as_slice(), &client[..1], &[token]].concat()),
        "ASSET_GATEWAY_EGAIN__TOKEN_URL: is given together with egain.token: only one of them can \
         hold"
    );
}

#[test]
fn secrets_cross_networks_in_clear_only_when_allowed() {
    for key in ["BASE_URL", "TOKEN_URL"] {
        let name = format!("ASSET_GATEWAY_EGAIN__{key}");
        for safe in [
            "https://login.example.com/t",
            "http://localhost:1/t",
            "http://127.0.0.1:1/t",
            "http://[::1]/t",
        ] {
            assert_eq!(mistakes("", &[(&name, safe)]), "", "{safe}");
        }
        for bad in [
            "http://login.example.com/t",
            "http://10.0.0.1/t",
            "http://localhost.example.com/t",
            "http://sandbox:8081",
        ] {
            assert!(
                mistakes("", &[(&name, bad)]).starts_with(&format!("{name}: must be https")),
                "{bad}"
            );
            assert_eq!(
                mistakes(
                    "",
                    &[(&name, bad), ("ASSET_GATEWAY_EGAIN__ALLOW_HTTP", "true")]
                ),
                ""
            );
        }
    }
}

#[test]
fn limits_that_would_refuse_nearly_everybody_are_mistakes() {
    let told = mistakes(
        "",
        &[
            ("ASSET_GATEWAY_EGAIN__BUDGET_WAIT", "24h"),
            ("ASSET_GATEWAY_EGAIN__CONNECT_TIMEOUT", "1ms"),
            ("ASSET_GATEWAY_EGAIN__MAX_PAUSE", "0s"),
            ("ASSET_GATEWAY_EGAIN__PENDING_WAIT", "24h"),
            ("ASSET_GATEWAY_SERVER__BODY_IDLE_TIMEOUT", "99ms"),
            ("ASSET_GATEWAY_SERVER__MIN_RATE", "1GiB"),
        ],
    );
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines,
        [
            "ASSET_GATEWAY_EGAIN__BUDGET_WAIT: must be between 0s and 10m, is 24h",
            "ASSET_GATEWAY_EGAIN__CONNECT_TIMEOUT: must be between 100ms and 10m, is 1ms",
            "ASSET_GATEWAY_EGAIN__MAX_PAUSE: must be between 1s and 1h, is 0s",
            "ASSET_GATEWAY_EGAIN__PENDING_WAIT: must be between 0s and 10m, is 24h",
            "ASSET_GATEWAY_SERVER__BODY_IDLE_TIMEOUT: must be between 100ms and 1h, is 99ms",
            "ASSET_GATEWAY_SERVER__MIN_RATE: must be between 0B and 1MiB, is 1GiB",
        ]
    );
}

#[test]
fn a_bad_value_is_not_also_reported_missing() {
    let told = mistakes_of_serve(&[
        ("ASSET_GATEWAY_EGAIN__RATE", "0"),
        ("ASSET_GATEWAY_EGAIN__TOKEN", "a b"),
        ("ASSET_GATEWAY_AUTH__MODE", "jtw"),
    ]);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    assert_eq!(
        lines[0],
        r#"ASSET_GATEWAY_AUTH__MODE: expected one of keys, jwt, none, found "jtw""#
    );
    assert_eq!(
        lines[1],
        "ASSET_GATEWAY_EGAIN__RATE: must be between 0.001 and 10000.0, is 0.0"
    );
}

#[test]
fn a_secrets_placeholder_is_no_secret() {
    let told = mistakes_of_serve(&[("ASSET_GATEWAY_EGAIN__TOKEN", "[hidden]")]);
    assert!(
        told.contains(r#"ASSET_GATEWAY_EGAIN__TOKEN: is "[hidden]""#),
        "{told}"
    );
}

#[test]
fn listeners_may_not_share_a_port() {
    let told = mistakes("", &[("ASSET_GATEWAY_SERVER__LISTEN", "127.0.0.1:9464")]);
    assert_eq!(
        told,
        "server.admin_listen: 0.0.0.0:9464 is taken by server.listen (127.0.0.1:9464)"
    );
}

#[test]
fn a_section_may_lie_within_another() {
    let toml = "[auth]\nmode = \"jwt\"\n[auth.jwt]\nissuer = \"file\"\naudience = \"file\"\n";
    let settings = load(toml, &[("ASSET_GATEWAY_AUTH__JWT__ISSUER", "variable")]).unwrap();
    assert_eq!(
        (
            settings.jwt.issuer.as_deref(),
            settings.jwt.audience.as_deref()
        ),
        (Some("variable"), Some("file"))
    );
    let shown = settings.render();
    assert!(
        shown.contains("jwt.role_claim = \"role\"")
            && shown.contains("# jwt.jwks_url is not set: "),
        "{shown}"
    );
    assert_eq!(load(&shown, &[]).unwrap().render(), shown);
    assert_eq!(
        mistakes("[auth.jwt]\nissuers = \"x\"\n", &[]),
        "auth.jwt.issuers: unknown key, did you mean auth.jwt.issuer?"
    );
    assert_eq!(
        mistakes("[auth]\njwt = 7\n", &[]),
        "auth.jwt: expected a section: [auth.jwt]"
    );
    let variable = ("ASSET_GATEWAY_AUTH__JWT__ISSUERS", "x");
    assert_eq!(
        mistakes("", &[variable]),
        "ASSET_GATEWAY_AUTH__JWT__ISSUERS: unknown key, did you mean \
         ASSET_GATEWAY_AUTH__JWT__ISSUER?"
    );
}

#[test]
fn tokens_need_an_issuer_an_audience_and_keys() {
    let common = [
        ("ASSET_GATEWAY_AUTH__MODE", "jwt"),
        ("ASSET_GATEWAY_EGAIN__RATE", "5"),
        ("ASSET_GATEWAY_EGAIN__TOKEN", "x"),
    ];
    let expected = ["audience", "issuer", "jwks_url"]
        .map(|key| format!("auth.jwt.{key}: not set: auth.mode = \"jwt\" needs it"));
    assert_eq!(
        mistakes_of_serve(&common).lines().collect::<Vec<_>>(),
        expected
    );
    let unsafe_way = [
        common.as_slice(),
        &[("ASSET_GATEWAY_AUTH__JWT__JWKS_URL", "http://x.test/jwks")],
    ]
    .concat();
    assert!(
        mistakes_of_serve(&unsafe_way)
            .starts_with("ASSET_GATEWAY_AUTH__JWT__JWKS_URL: must be https")
    );
}

#[test]
fn a_certificate_and_its_key_need_each_other() {
    for (one, other) in [("tls_cert", "tls_key"), ("tls_key", "tls_cert")] {
        let variable = format!("ASSET_GATEWAY_SERVER__{}", one.to_uppercase());
        let told = mistakes("", &[(&variable, "x.pem")]);
        assert_eq!(
            told,
            format!("{variable}: needs server.{other}, which isn't set")
        );
    }
    assert_eq!(
        mistakes("[server]\ntls_cert = \"a\"\ntls_key = \"b\"\n", &[]),
        ""
    );
}

#[test]
fn a_burst_needs_a_rate() {
    assert_eq!(
        mistakes("", &[("ASSET_GATEWAY_EGAIN__BURST", "3")]),
        "ASSET_GATEWAY_EGAIN__BURST: needs egain.rate, which isn't set"
    );
    let told = mistakes("[egain]\nplan = \"basic\"\nother_burst = 3\n", &[]);
    assert_eq!(
        told,
        "egain.other_burst: needs egain.other_rate or egain.rate, which aren't set"
    );
    assert_eq!(
        mistakes("[egain]\nrate = 1\nburst = 2\nother_burst = 3\n", &[]),
        ""
    );
}

#[test]
fn a_quota_that_is_enforced_must_be_known() {
    assert_eq!(
        mistakes("[egain]\nrate = 1\nenforce_quota = true\n", &[]),
        "egain.enforce_quota: needs egain.monthly_quota or egain.plan, which aren't set"
    );
    assert_eq!(
        mistakes("[egain]\nplan = \"basic\"\nenforce_quota = true\n", &[]),
        ""
    );
    assert_eq!(
        mistakes(
            "[egain]\nrate = 1\nmonthly_quota = 5\nenforce_quota = true\n",
            &[]
        ),
        ""
    );
}

#[test]
fn spooling_switched_off_makes_its_memory_irrelevant() {
    assert_eq!(mistakes("[limits]\nspool_total = 0\n", &[]), "");
}

#[test]
fn all_pages_may_call_only_where_nobody_else_can() {
    let says = |mode, listen| {
        let all = [
            ("ASSET_GATEWAY_SERVER__CORS_ORIGINS", "*"),
            ("ASSET_GATEWAY_AUTH__MODE", mode),
        ];
        mistakes(
            "",
            &[all[0], all[1], ("ASSET_GATEWAY_SERVER__LISTEN", listen)],
        )
    };
    assert_eq!(says("none", "127.0.0.1:8080"), "");
    for (mode, listen) in [("keys", "127.0.0.1:8080"), ("none", "0.0.0.0:8080")] {
        let said = says(mode, listen);
        assert!(
            said.starts_with("ASSET_GATEWAY_SERVER__CORS_ORIGINS: \"*\" is only for auth.mode"),
            "{said}"
        );
    }
}

#[test]
fn a_slip_of_the_pen_is_no_setting() {
    for (key, wrong) in [
        ("server.header_timeout", ["1ms", "24h"]),
        ("server.keep_alive_timeout", ["10ms", "24h"]),
        ("server.body_idle_timeout", ["1ms", "24h"]),
        ("server.min_rate", ["1GiB", "2MiB"]),
        ("server.drain_delay", ["24h", "11m"]),
        ("server.shutdown_grace", ["24h", "61m"]),
        ("idempotency.ttl", ["1ms", "169h"]),
        ("idempotency.capacity", ["0", "100000000"]),
        ("limits.look_ahead", ["1B", "1GiB"]),
        ("limits.max_asset_size", ["0", "2TiB"]),
        ("server.read_buffer", ["1KiB", "1GiB"]),
    ] {
        for value in wrong {
            let variable = crate::config::schema::key::variable(key);
            let said = mistakes("", &[(&variable, value)]);
            assert!(
                said.starts_with(&format!("{variable}: must be between ")),
                "{key} = {value}: {said}"
            );
        }
    }
}

/// 32 bytes in base64.
const SEAL_KEY: &str = "c2VhbCBrZXkgb2YgdGhlIHRlc3RzLCAzMiBieXRlcyE=";

#[test]
fn a_redis_needs_a_key_to_seal_with() {
    let url = ("ASSET_GATEWAY_CACHE__REDIS_URL", "redis://127.0.0.1");
    assert!(mistakes("", &[url]).contains("cache.seal_key: not set"));
    let key = ("ASSET_GATEWAY_CACHE__SEAL_KEY", SEAL_KEY);
    let settings = load("", &[url, key]).unwrap();
    let shown = settings.render();
    assert!(shown.contains("redis_url = \"[hidden]\"") && !shown.contains(SEAL_KEY));
    let again = load(&shown, &[]).unwrap();
    let mut errors = ErrorCollector::default();
    again.require(&mut errors);
    let told = errors.into_result(()).unwrap_err().to_string();
    assert!(told.contains(r#"cache.redis_url: is "[hidden]""#), "{told}");
}

#[test]
fn a_redis_url_with_a_mistake_isnt_shown() {
    for bad in ["http://:hunter2@redis", "redis://:hunter2@a:1,b:2"] {
        let told = mistakes("", &[("ASSET_GATEWAY_CACHE__REDIS_URL", bad)]);
        assert!(told.contains("Sentinel and Cluster"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let told = mistakes("", &[("ASSET_GATEWAY_CACHE__SEAL_KEY", "hunter2")]);
    assert!(told.contains("32 bytes in base64") && !told.contains("hunter2"));
}
