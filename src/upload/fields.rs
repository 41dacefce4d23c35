//! What the caller says of the file: from the query, from form fields, from headers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::digest::DeclaredDigest;
use crate::body::digest::parse_hex;
use crate::media::charset;
use crate::types::asset::{Sender, is_channel};
use crate::types::caller::AuthenticatedCaller;
use crate::types::error::{Error, ErrorCode, Stage};

/// Names that mean something; everything else in a query or a form is ignored.
const KNOWN: [&str; 5] = ["channel", "sender", "name", "size", "sha256"];
/// The longest value in bytes: a name of 255 characters, four bytes each.
pub(super) const LONGEST_VALUE: usize = 1020;

/// Values as given, each once.
#[derive(Debug, Default, Clone)]
pub(super) struct UploadFields(BTreeMap<&'static str, String>);

/// Values as understood.
#[derive(Debug, Clone)]
pub(super) struct UploadMetadata {
    /// eGain's channel type.
    pub channel: String,
    /// eGain's sender type.
    pub sender: Sender,
    /// The name that the caller requests.
    pub name: Option<String>,
    /// The size declared, at least 1.
    pub size: Option<u64>,
    /// What is wanted of, or promised by, the field `sha256`.
    pub digest: DeclaredDigest,
}

impl UploadFields {
    /// The query's fields.
    pub(super) fn of_query(head: &Parts) -> Result<Self, Error> {
        let mut fields = Self::default();
        for pair in head.uri.query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            fields.add(&decode(name), &decode(value), Stage::Admit)?;
        }
        Ok(fields)
    }

    /// The name of a field that means something; None for one to ignore.
    pub(super) fn known(name: &str) -> Option<&'static str> {
        KNOWN.into_iter().find(|known| *known == name)
    }

    /// Adds a value; the same name may be given twice only with the same value.
    pub(super) fn add(&mut self, name: &str, value: &str, stage: Stage) -> Result<(), Error> {
        let Some(name) = Self::known(name) else {
            return Ok(());
        };
        if value.len() > LONGEST_VALUE {
            return Err(too_long(name, stage));
        }
        match self.0.get(name) {
            Some(earlier) if earlier != value => {
                let detail = format!("{name} is given twice with different values: give it once");
                Err(Error::caller(ErrorCode::ConflictingField, stage, detail))
            }
            _ => {
                self.0.insert(name, value.to_owned());
                Ok(())
            }
        }
    }

    /// A field that came after the file can't change what was decided before it.
    pub(super) fn confirm_late(&self, name: &str, value: &str) -> Result<(), Error> {
        let Some(name) = Self::known(name) else {
            return Ok(());
        };
        if self.0.get(name).is_some_and(|earlier| earlier == value) {
            return Ok(());
        }
        let detail = format!(
            "the field {name} came after the file, too late to count: send it before the file or \
             in the query"
        );
        Err(Error::caller(
            ErrorCode::ConflictingField,
            Stage::Read,
            detail,
        ))
    }

    /// Checks the fields that are known. A missing channel is an error only once all fields are
    /// known.
    pub(super) fn check(&self, caller: &AuthenticatedCaller, stage: Stage) -> Result<(), Error> {
        self.channel(caller, stage)?;
        self.sender(caller, stage)?;
        self.size(stage)?;
        self.digest(stage).map(drop)
    }

    /// Whether the channel is known already.
    pub(super) fn has_channel(&self, caller: &AuthenticatedCaller) -> bool {
        self.0.contains_key("channel") || caller.channels.len() == 1
    }

    /// Makes sense of the values, for this caller.
    pub(super) fn into_metadata(
        self,
        caller: &AuthenticatedCaller,
        stage: Stage,
    ) -> Result<UploadMetadata, Error> {
        let Some(channel) = self.channel(caller, stage)? else {
            return Err(no_channel(stage));
        };
        let name = match self.0.get("name") {
            Some(name) if !name.trim().is_empty() => Some(name.clone()),
            _ => None,
        };
        Ok(UploadMetadata {
            channel: channel.to_owned(),
            sender: self.sender(caller, stage)?,
            name,
            size: self.size(stage)?,
            digest: self.digest(stage)?,
        })
    }

    /// A caller that is bound to one channel needn't name it.
    fn channel<'a>(
        &'a self,
        caller: &'a AuthenticatedCaller,
        stage: Stage,
    ) -> Result<Option<&'a str>, Error> {
        let bound = caller.channels.as_slice();
        let Some(channel) = self.0.get("channel") else {
            return match bound {
                [only] => Ok(Some(only)),
                _ => Ok(None),
            };
        };
        if !is_channel(channel) {
            let detail = "channel is none of eGain's channel types: these are 1 to 64 of A-Z a-z \
                          0-9 . _ -, such as sms or whatsapp";
            return Err(invalid(stage, detail));
        }
        if !bound.is_empty() && !bound.iter().any(|own| own.eq_ignore_ascii_case(channel)) {
            if caller.account.is_some() {
                let detail = "channel isn't that of this caller's account: omit it";
                return Err(Error::caller(ErrorCode::ConflictingField, stage, detail));
            }
            let detail = "this caller is bound to other channels: name one of its own";
            return Err(forbidden(stage, detail));
        }
        Ok(Some(channel))
    }

    fn sender(&self, caller: &AuthenticatedCaller, stage: Stage) -> Result<Sender, Error> {
        let Some(sender) = self.0.get("sender") else {
            return Ok(caller.sender.unwrap_or_default());
        };
        let Some(sender) = Sender::parse(sender) else {
            let detail =
                "sender is not one of customer, custom_bot, egain_bot, egain_agent, custom_agent";
            return Err(invalid(stage, detail));
        };
        if caller.sender.is_some_and(|bound| bound != sender) {
            let detail = "this caller is bound to another sender: omit sender";
            return Err(forbidden(stage, detail));
        }
        Ok(sender)
    }

    fn size(&self, stage: Stage) -> Result<Option<u64>, Error> {
        let Some(size) = self.0.get("size") else {
            return Ok(None);
        };
        // `parse` alone would take a sign.
        let digits = size.bytes().all(|byte| byte.is_ascii_digit());
        match size.parse() {
            Err(_) => Err(invalid(stage, "size is not a whole number of bytes")),
            Ok(_) if !digits => Err(invalid(
                stage,
                "size is not a whole number of bytes: omit the sign",
            )),
            Ok(0) => Err(Error::caller(
                ErrorCode::EmptyFile,
                stage,
                "size is 0: eGain takes files of at least one byte",
            )),
            Ok(size) => Ok(Some(size)),
        }
    }

    fn digest(&self, stage: Stage) -> Result<DeclaredDigest, Error> {
        match self.0.get("sha256").map(String::as_str) {
            None | Some("0" | "false") => Ok(DeclaredDigest::default()),
            Some("" | "1" | "true") => Ok(DeclaredDigest {
                wanted: true,
                expected: None,
            }),
            Some(hex) => match parse_hex(hex) {
                Some(sum) => Ok(DeclaredDigest {
                    wanted: true,
                    expected: Some(sum),
                }),
                None => Err(invalid(
                    stage,
                    "sha256 is neither 64 hexadecimal digits nor 1",
                )),
            },
        }
    }
}

/// Decodes `application/x-www-form-urlencoded`. Bytes that aren't UTF-8 are decoded by their
/// charset instead of being lost.
fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    charset::decode(&Cow::from(percent_decode_str(&spaced))).into_owned()
}

/// The channel decides what may be sent, and the gateway can't guess it.
pub(super) fn no_channel(stage: Stage) -> Error {
    let detail = "channel is missing: give eGain's channel type in the query or as a form field \
                  before the file";
    Error::caller(ErrorCode::MissingField, stage, detail)
}

/// Used while a field is collected, too, so that none grows beyond this.
pub(super) fn too_long(name: &str, stage: Stage) -> Error {
    invalid(
        stage,
        format!("{name} is longer than {LONGEST_VALUE} bytes"),
    )
}

fn forbidden(stage: Stage, detail: &'static str) -> Error {
    Error::caller(ErrorCode::Forbidden, stage, detail)
}

fn invalid(stage: Stage, detail: impl Into<Cow<'static, str>>) -> Error {
    Error::caller(ErrorCode::InvalidField, stage, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(query: &str) -> Result<UploadMetadata, Error> {
        bound(query, &AuthenticatedCaller::anyone())
    }

    fn bound(query: &str, caller: &AuthenticatedCaller) -> Result<UploadMetadata, Error> {
        let request = http::Request::get(format!("/v1/assets?{query}"))
            .body(())
            .unwrap();
        UploadFields::of_query(&request.into_parts().0)?.into_metadata(caller, Stage::Admit)
    }

    #[test]
    fn fields_become_metadata() {
        let given =
            query("channel=sms&sender=egain_agent&name=a%20b.jpg&size=7&sha256=1&other=x").unwrap();
        assert_eq!(
            (given.channel.as_str(), given.sender, given.size),
            ("sms", Sender::EgainAgent, Some(7))
        );
        assert_eq!(
            (given.name.as_deref(), given.digest.wanted),
            (Some("a b.jpg"), true)
        );
        for (sent, name) in [
            ("caf%E9+%80.jpg", "café €.jpg"),
            ("%E5%9B%BE.jpg", "图.jpg"),
            ("a%2Bb%25=c.jpg", "a+b%=c.jpg"),
        ] {
            assert_eq!(
                query(&format!("&&channel=sms&x&name={sent}"))
                    .unwrap()
                    .name
                    .as_deref(),
                Some(name)
            );
        }
    }

    #[test]
    fn every_wrong_field_has_its_own_code() {
        for (wrong, code) in [
            ("", ErrorCode::MissingField),
            ("channel=", ErrorCode::InvalidField),
            ("channel=sms%20", ErrorCode::InvalidField),
            ("channel=s%C2%ADms", ErrorCode::InvalidField),
            ("channel=sms&sender=me", ErrorCode::InvalidField),
            ("channel=sms&size=-1", ErrorCode::InvalidField),
            ("channel=sms&size=%2B68", ErrorCode::InvalidField),
            ("channel=sms&size=%2B0", ErrorCode::InvalidField),
            ("channel=sms&size=6.8e1", ErrorCode::InvalidField),
            ("channel=sms&size=68%20", ErrorCode::InvalidField),
            (
                "channel=sms&size=68&size=%2B68",
                ErrorCode::ConflictingField,
            ),
            ("channel=sms&size=0", ErrorCode::EmptyFile),
            ("channel=sms&sha256=xyz", ErrorCode::InvalidField),
            ("channel=sms&channel=whatsapp", ErrorCode::ConflictingField),
        ] {
            assert_eq!(query(wrong).unwrap_err().code(), code, "{wrong}");
        }
        assert!(query("channel=sms&channel=sms").is_ok());
    }

    #[test]
    fn a_bound_caller_names_nothing_but_its_own() {
        let caller = AuthenticatedCaller {
            channels: vec!["sms".into()],
            sender: Some(Sender::CustomBot),
            ..AuthenticatedCaller::anyone()
        };
        let given = bound("", &caller).unwrap();
        assert_eq!(
            (given.channel.as_str(), given.sender),
            ("sms", Sender::CustomBot)
        );
        assert!(bound("channel=sms&sender=custom_bot", &caller).is_ok());
        assert_eq!(
            bound("channel=SMS", &caller).unwrap().channel,
            "SMS",
            "eGain gets what the caller wrote"
        );
        for other in ["channel=whatsapp", "channel=sms&sender=customer"] {
            assert_eq!(
                bound(other, &caller).unwrap_err().code(),
                ErrorCode::Forbidden,
                "{other}"
            );
        }
    }

    #[test]
    fn a_late_field_may_only_repeat_an_earlier_one() {
        let mut fields = UploadFields::default();
        fields.add("channel", "sms", Stage::Read).unwrap();
        assert!(fields.confirm_late("channel", "sms").is_ok());
        assert!(fields.confirm_late("note", "x").is_ok());
        assert_eq!(
            fields
                .confirm_late("channel", "whatsapp")
                .unwrap_err()
                .code(),
            ErrorCode::ConflictingField
        );
        assert_eq!(
            fields.confirm_late("name", "a.jpg").unwrap_err().code(),
            ErrorCode::ConflictingField
        );
    }
}
