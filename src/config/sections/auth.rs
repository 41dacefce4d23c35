//! `[auth]` and `[auth.jwt]`: who may call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use toml::Value;
use url::Url;

use crate::api::{self, ApiKey, ClaimNames, JwtConfig};
use crate::body::digest::parse_hex;
use crate::config::errors::ErrorCollector;
use crate::config::schema::rules::{RuleResult, if_set, private, within};
use crate::config::schema::section;
use crate::config::schema::value::{SettingValue, mistyped, named_values};
use crate::config::sources::reader::SettingsReader;
use crate::net::egress_proxy::EgressProxy;
use crate::types::account::AccountId;
use crate::types::asset::{Sender, is_channel};
use crate::types::caller::{AuthenticatedCaller, CallerRole};

/// What a caller's rate may be, in requests a second.
const SLOWEST: f64 = 0.001;
const FASTEST: f64 = 100_000.0;

/// How callers prove who they are.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
pub enum AuthMode {
    /// By a key of `auth.keys`.
    Keys,
    /// By a token of `auth.jwt.issuer`.
    Jwt,
    /// They don't: every client that can connect may do everything.
    #[strum(serialize = "none")]
    Anyone,
}

named_values! { AuthMode }

section! {
    /// Who may call.
    AuthSection as "auth" {
        /// How callers prove who they are: keys, jwt, or none (they don't, and may do everything).
        mode: Option<AuthMode> => "required";
        /// Callers' keys, as `asset-gateway key new` makes them; in the file only, and read again
        /// when it changes.
        keys: Vec<ApiKey> = "" where each_once;
    }
}

section! {
    /// Whose tokens are taken, and how they are read.
    JwtSection as "auth.jwt" {
        /// Who signs callers' tokens: what `iss` says.
        issuer: Option<String> => "required with jwt";
        /// Whom tokens are for: what `aud` says.
        audience: Option<String> => "required with jwt";
        /// Where the issuer shows its keys, over https unless it is on this machine.
        jwks_url: Option<Url> => "required with jwt" where if_set(private);
        /// The claim with the caller's role; without it a caller is a reader.
        role_claim: String = "role";
        /// The claim with the channels that the caller is bound to.
        channels_claim: String = "channels";
        /// The claim with the sender that the caller is bound to.
        sender_claim: String = "sender";
        /// The claim with the eGain account that the caller is bound to.
        account_claim: String = "account";
        /// The claim with which an adapter may delete.
        delete_claim: String = "delete";
        /// Requests a second of each subject (`sub`), 0.001 to 100000; above it there is 429.
        rate: Option<f64> => "none" where if_set(within(SLOWEST, FASTEST));
    }
}

impl JwtSection {
    /// Notes what is missing to check tokens.
    pub(in crate::config) fn require(&self, mode: Option<AuthMode>, errors: &mut ErrorCollector) {
        if mode != Some(AuthMode::Jwt) {
            return;
        }
        for (key, is_set) in [
            ("auth.jwt.issuer", self.issuer.is_some()),
            ("auth.jwt.audience", self.audience.is_some()),
            ("auth.jwt.jwks_url", self.jwks_url.is_some()),
        ] {
            if !is_set {
                errors.conflict(&[key], "not set: auth.mode = \"jwt\" needs it");
            }
        }
    }

    /// What the api layer gets, if all is there.
    fn config(&self, proxy: &EgressProxy) -> Option<JwtConfig> {
        Some(JwtConfig {
            issuer: self.issuer.clone()?,
            audience: self.audience.clone()?,
            jwks_url: self.jwks_url.clone()?,
            proxy: proxy.clone(),
            claims: ClaimNames {
                role: self.role_claim.clone(),
                channels: self.channels_claim.clone(),
                sender: self.sender_claim.clone(),
                account: self.account_claim.clone(),
                delete: self.delete_claim.clone(),
            },
            rate: self.rate,
        })
    }
}

impl AuthSection {
    /// Notes what the service can't do without. An open door must be somebody's decision.
    pub(in crate::config) fn require(&self, errors: &mut ErrorCollector) {
        match self.mode {
            None => {
                let says = "not set: say who may call. keys takes the callers of auth.keys, jwt \
                            those with a token of auth.jwt.issuer; none \
                            (ASSET_GATEWAY_AUTH__MODE=none) lets anyone who can connect do \
                            everything";
                errors.conflict(&["auth.mode"], says);
            }
            Some(AuthMode::Keys) if self.keys.is_empty() => {
                errors.conflict(
                    &["auth.keys"],
                    "is empty, so that nobody could call: make a key with asset-gateway key new",
                );
            }
            Some(_) => {}
        }
    }

    /// The channels that keys are bound to.
    pub(in crate::config) fn channels(&self) -> Vec<String> {
        let mut channels = Vec::new();
        for key in &self.keys {
            channels.extend_from_slice(&key.caller.channels);
        }
        channels
    }

    /// As if nothing but keys could be set.
    pub(in crate::config) fn of_keys(from: &mut SettingsReader) -> Self {
        Self {
            mode: Some(AuthMode::Keys),
            keys: from.value("auth.keys", each_once).unwrap_or_default(),
        }
    }

    /// What the api layer gets.
    pub(in crate::config) fn callers(
        &self,
        jwt: &JwtSection,
        proxy: &EgressProxy,
    ) -> api::AuthConfig {
        match self.mode {
            Some(AuthMode::Keys) | None => api::AuthConfig::Keys(self.keys.clone()),
            Some(AuthMode::Jwt) => {
                api::AuthConfig::Jwt(Box::new(jwt.config(proxy).expect("for_serve requires it")))
            }
            Some(AuthMode::Anyone) => api::AuthConfig::Nobody,
        }
    }
}

/// A caller may have several keys, so that one can take another's place without a gap; it is the
/// same caller in each entry.
fn each_once(keys: &Vec<ApiKey>) -> RuleResult {
    let mut callers = BTreeMap::new();
    let mut sums = BTreeSet::new();
    for key in keys {
        let id = &key.caller.id;
        if !sums.insert(key.sha256) {
            return Err(format!("the entry {id:?} repeats the key of another one"));
        }
        let first = callers.entry(id).or_insert(key);
        if (&first.caller, first.rate) != (&key.caller, key.rate) {
            return Err(format!(
                "the entries {id:?} differ: all keys of one caller need the same role, channels, \
                 sender, delete and rate"
            ));
        }
    }
    Ok(())
}

/// One table of the list, as it is written.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    sha256: String,
    channels: Option<Vec<String>>,
    sender: Option<String>,
    account: Option<String>,
    #[serde(default = "adapter")]
    role: String,
    #[serde(default)]
    delete: bool,
    rate: Option<f64>,
}

fn adapter() -> String {
    CallerRole::Adapter.name().into()
}

impl SettingValue for Vec<ApiKey> {
    const EXPECTED: &'static str = "a list of tables [[auth.keys]]";

    fn from_text(text: &str) -> Result<Self, String> {
        // The default, which no variable can have: an empty one counts as not set.
        if text.is_empty() {
            Ok(Self::new())
        } else {
            Err("can only be given in the file, as [[auth.keys]]".into())
        }
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        let Value::Array(entries) = value else {
            return Err(mistyped::<Self>(value));
        };
        let mut keys = Self::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            match read(entry) {
                Ok(key) => keys.push(key),
                Err(says) => return Err(format!("entry {}: {says}", at + 1)),
            }
        }
        Ok(keys)
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::Array(self.iter().map(write).collect()))
    }
}

fn read(value: &Value) -> Result<ApiKey, String> {
    let entry: Entry = match value.clone().try_into() {
        Ok(entry) => entry,
        Err(error) => return Err(error.message().to_owned()),
    };
    if !is_caller_id(&entry.id) {
        return Err("id must be 1 to 64 printable ASCII characters without blanks".into());
    }
    let sha256 = sha256(&entry.sha256)?;
    let Some(role) = CallerRole::parse(&entry.role) else {
        return Err("role must be reader, adapter or operator".into());
    };
    let sender = entry.sender.as_deref().map(sender).transpose()?;
    if let Some(rate) = entry.rate
        && !(SLOWEST..=FASTEST).contains(&rate)
    {
        return Err("rate must be between 0.001 and 100000 requests a second".into());
    }
    let channels = match entry.channels {
        Some(channels) => bound(channels)?,
        None => Vec::new(),
    };
    let account = entry.account.as_deref().map(account).transpose()?;
    if account.is_some() && !channels.is_empty() {
        return Err(
            "channels and account are both set: an account's channel is the only one of its callers"
                .into(),
        );
    }
    let caller = AuthenticatedCaller {
        id: entry.id,
        role,
        delete: entry.delete,
        channels,
        sender,
        account,
    };
    Ok(ApiKey {
        sha256,
        caller: Arc::new(caller),
        rate: entry.rate,
    })
}

fn is_caller_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

fn sha256(digits: &str) -> Result<[u8; 32], String> {
    match parse_hex(digits) {
        Some(sum) => Ok(sum),
        None => Err(
            "sha256 must be the 64 hexadecimal digits that asset-gateway key new prints, \
             not the key itself"
                .into(),
        ),
    }
}

fn sender(name: &str) -> Result<Sender, String> {
    match Sender::parse(name) {
        Some(sender) => Ok(sender),
        None => Err("sender is none that eGain knows".into()),
    }
}

fn account(id: &str) -> Result<AccountId, String> {
    AccountId::parse(id)
        .ok_or_else(|| format!("account: {id:?} is no id of eGain's: GET /v1/accounts lists them"))
}

/// An empty list would bind to nothing, and means everything where it is omitted.
fn bound(channels: Vec<String>) -> Result<Vec<String>, String> {
    if channels.is_empty() {
        return Err("channels is empty: name at least one, or omit it for all".into());
    }
    match channels.iter().find(|name| !is_channel(name)) {
        Some(wrong) => Err(format!(
            "channels: {wrong:?} is no channel type: these are 1 to 64 of A-Z a-z 0-9 . _ -"
        )),
        None => Ok(channels),
    }
}

fn write(key: &ApiKey) -> Value {
    let caller = &key.caller;
    let mut table = toml::Table::new();
    table.insert("id".into(), caller.id.clone().into());
    table.insert("sha256".into(), hex::encode(key.sha256).into());
    if !caller.channels.is_empty() {
        table.insert("channels".into(), caller.channels.clone().into());
    }
    if let Some(account) = &caller.account {
        table.insert("account".into(), account.as_str().into());
    }
    if let Some(sender) = caller.sender {
        table.insert("sender".into(), sender.name().into());
    }
    table.insert("role".into(), caller.role.name().into());
    table.insert("delete".into(), caller.delete.into());
    if let Some(rate) = key.rate {
        table.insert("rate".into(), rate.into());
    }
    Value::Table(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Result<Vec<ApiKey>, String> {
        let table: toml::Table = text.parse().unwrap();
        Vec::from_toml(&table["keys"])
    }

    const SUM: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn an_entry_is_read_and_shown_again() {
        let text = format!(
            "[[keys]]\nid = 'sms'\nsha256 = '{SUM}'\nchannels = ['sms']\nsender = 'custom_bot'\n\
             rate = 2.5"
        );
        let read = keys(&text).unwrap();
        let caller = &read[0].caller;
        assert_eq!(
            (caller.role, caller.sender, read[0].rate),
            (CallerRole::Adapter, Some(Sender::CustomBot), Some(2.5))
        );
        let again = Vec::<ApiKey>::from_toml(&read.to_toml().unwrap()).unwrap();
        assert_eq!(again[0].caller.channels, ["sms"]);
    }

    #[test]
    fn a_wrong_entry_says_which_and_what() {
        for (wrong, says) in [
            (
                format!("id = 'a'\nsha256 = '{SUM}'\nrole = 'king'"),
                "entry 1: role must be reader, adapter or operator",
            ),
            (
                format!("id = 'a b'\nsha256 = '{SUM}'"),
                "entry 1: id must be",
            ),
            (
                "id = 'a'\nsha256 = 'secret'".into(),
                "entry 1: sha256 must be the 64 hexadecimal digits",
            ),
            (
                format!("id = 'a'\nsha256 = '{SUM}'\ncolour = 'red'"),
                "entry 1: unknown field `colour`",
            ),
            (
                format!("id = 'a'\nsha256 = '{SUM}'\nrate = 0.0"),
                "entry 1: rate must be",
            ),
            (
                format!("id = 'a'\nsha256 = '{SUM}'\naccount = 'a/b'"),
                "entry 1: account: \"a/b\" is no id",
            ),
            (
                format!("id = 'a'\nsha256 = '{SUM}'\naccount = 'a'\nchannels = ['sms']"),
                "entry 1: channels and account are both",
            ),
            (
                format!("id = 'a'\nsha256 = '{SUM}'\nchannels = []"),
                "entry 1: channels is empty",
            ),
            (
                format!("id = 'a'\nsha256 = '{SUM}'\nchannels = ['']"),
                "entry 1: channels: \"\" is no channel type",
            ),
        ] {
            let said = keys(&format!("[[keys]]\n{wrong}")).unwrap_err();
            assert!(said.starts_with(says), "{said}");
        }
    }

    #[test]
    fn keys_may_share_a_caller_but_never_a_hash() {
        let other = SUM.replace('b', "c");
        let entry = |id: &str, sum: &str, more: &str| {
            format!("[[keys]]\nid = '{id}'\nsha256 = '{sum}'\n{more}\n")
        };
        let told = |first: String, second: String| each_once(&keys(&(first + &second)).unwrap());
        assert_eq!(
            told(
                entry("a", SUM, "rate = 1.0"),
                entry("a", &other, "rate = 1.0")
            ),
            Ok(())
        );
        assert!(
            told(entry("a", SUM, ""), entry("b", SUM, "")).is_err()
                && told(entry("a", SUM, ""), entry("a", SUM, "")).is_err()
        );
        for more in [
            "rate = 1.0",
            "role = 'reader'",
            "delete = true",
            "channels = ['sms']",
            "sender = 'customer'",
        ] {
            assert!(
                told(entry("a", SUM, ""), entry("a", &other, more))
                    .unwrap_err()
                    .contains("differ"),
                "{more}"
            );
        }
    }
}
