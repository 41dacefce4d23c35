//! Accounts and channels, for the operators who register them at eGain.

use serde_json::{Map, Value};

use crate::egain::EgainClient;
use crate::egain::accounts::{Account, AccountVariant, Channel, FieldError, without_secrets};
use crate::types::account::{AccountId, ChannelId};
use crate::types::caller::Principal;
use crate::types::error::{Error, ErrorCode, Stage};

/// More mistakes than this are one mistake: the document is something else.
const MOST_MISTAKES: usize = 40;

/// What operators do with accounts and channels.
#[derive(Clone)]
pub struct AccountService {
    egain: EgainClient,
}

/// An account as it may be shown, and what tells this version of it from others.
pub struct ShownAccount {
    /// eGain's document, with no secret in it.
    pub document: Value,
    /// eGain's `modified`; null where it doesn't say.
    pub modified: Value,
}

/// Which version of an account an operator means to replace.
pub type IsMeant<'a> = &'a (dyn Fn(&Value) -> bool + Sync);

impl AccountService {
    /// Over eGain's API.
    pub fn new(egain: EgainClient) -> Self {
        Self { egain }
    }

    /// Creates an account and gives its id.
    ///
    /// # Errors
    /// Everything that is wrong with the document at once, before it is sent to eGain.
    pub async fn create(
        &self,
        document: &Map<String, Value>,
        by: &Principal,
    ) -> Result<String, Error> {
        let account = self.read(document, None, by).await?;
        self.egain.create_account(&account, by).await
    }

    /// The accounts, as eGain lists them.
    pub async fn list(&self, query: &str, by: &Principal) -> Result<Value, Error> {
        let mut list = self.egain.list_accounts(query, by).await?;
        // The documents call it `account`; another implementation may well use the plural.
        for key in ["account", "accounts"] {
            let accounts = list.get_mut(key).and_then(Value::as_array_mut);
            for account in accounts.into_iter().flatten() {
                *account = without_secrets(account.take());
            }
        }
        Ok(list)
    }

    /// One account.
    pub async fn get(&self, id: &AccountId, by: &Principal) -> Result<ShownAccount, Error> {
        let account = self.egain.get_account(id, by).await?;
        let modified = account["modified"].clone();
        Ok(ShownAccount {
            document: without_secrets(account),
            modified,
        })
    }

    /// Replaces an account. What the document leaves out is the default again, but for secrets and
    /// for fields that eGain has beyond its documents: those stay.
    ///
    /// # Errors
    /// As for [`Self::create`]; `precondition-failed` where the account's `modified` isn't what
    /// `is_meant` takes.
    pub async fn replace(
        &self,
        id: &AccountId,
        document: &Map<String, Value>,
        is_meant: IsMeant<'_>,
        by: &Principal,
    ) -> Result<(), Error> {
        let current = self.egain.get_account(id, by).await?;
        if !is_meant(&current["modified"]) {
            let detail = "the account was changed meanwhile: read it again, and repeat the change \
                          on what it is now";
            return Err(Error::caller(
                ErrorCode::PreconditionFailed,
                Stage::Manage,
                detail,
            ));
        }
        let account = self.read(document, Some(&current), by).await?;
        // An operator's own lock goes to eGain as it is, which refuses an old one.
        let modified = document
            .get("modified")
            .filter(|modified| !modified.is_null())
            .unwrap_or(&current["modified"]);
        self.egain.replace_account(id, &account, modified, by).await
    }

    /// Deletes an account.
    pub async fn delete(&self, id: &AccountId, by: &Principal) -> Result<(), Error> {
        self.egain.delete_account(id, by).await
    }

    /// The channels, as eGain lists them.
    pub async fn list_channels(&self, query: &str, by: &Principal) -> Result<Value, Error> {
        self.egain.list_channels(query, by).await
    }

    /// One channel.
    pub async fn get_channel(&self, id: &ChannelId, by: &Principal) -> Result<Value, Error> {
        self.egain.get_channel(id, by).await
    }

    async fn read(
        &self,
        document: &Map<String, Value>,
        current: Option<&Value>,
        by: &Principal,
    ) -> Result<Account, Error> {
        let channel = self.channel_of(document, by).await?;
        let variant = match &channel {
            Some(channel) => AccountVariant::of_channel(&channel.kind),
            None => AccountVariant::Custom,
        };
        let is_unknown = channel.is_none() && names_channel(document).is_some();
        let mut errors = match Account::read(document, variant, current) {
            Ok(account) if !is_unknown => return Ok(account),
            Ok(_) => Vec::new(),
            Err(errors) => errors,
        };
        if is_unknown {
            errors.push(unknown_channel());
        }
        Err(mistakes(&errors))
    }

    /// The channel that a document names, whose type says what the account has to be like.
    async fn channel_of(
        &self,
        document: &Map<String, Value>,
        by: &Principal,
    ) -> Result<Option<Channel>, Error> {
        let Some(id) = names_channel(document) else {
            return Ok(None);
        };
        match Channel::fetch(&self.egain, &id, by).await {
            Ok(channel) => Ok(Some(channel)),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// None where what the document has can't be a channel's id, which is a mistake of its own.
fn names_channel(document: &Map<String, Value>) -> Option<ChannelId> {
    let id = document.get("channel")?.get("id")?.as_str()?;
    if id.len() != 36 {
        return None;
    }
    ChannelId::parse(id)
}

fn unknown_channel() -> FieldError {
    let reason =
        "eGain knows no such channel: GET /v1/channels lists those that there are".to_owned();
    FieldError {
        path: "channel.id".to_owned(),
        reason,
    }
}

fn mistakes(errors: &[FieldError]) -> Error {
    let details: Vec<String> = errors
        .iter()
        .take(MOST_MISTAKES)
        .map(ToString::to_string)
        .collect();
    Error::caller(ErrorCode::InvalidField, Stage::Manage, details.join("; "))
}
