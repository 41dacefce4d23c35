//! The accounts that exist.

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::sandbox::clock::rfc3339;

/// Why an account can't be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum AccountConflict {
    /// There is none with this id.
    Unknown,
    /// Somebody else has changed it.
    Modified,
    /// Another one has its name.
    Name,
}

/// In the order in which they were made.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct AccountStore(Mutex<Vec<Value>>);

impl AccountStore {
    /// The id of a new account.
    pub(in crate::sandbox) fn insert(
        &self,
        account: Map<String, Value>,
        now: Timestamp,
    ) -> Result<String, AccountConflict> {
        let mut accounts = self.0.lock();
        let id = Uuid::new_v4().to_string();
        let now = json!(rfc3339(now));
        name_is_free(&accounts, &account, &id)?;
        accounts.push(stamped(account, &id, now.clone(), now));
        Ok(id)
    }

    pub(in crate::sandbox) fn replace(
        &self,
        id: &str,
        account: Map<String, Value>,
        now: Timestamp,
    ) -> Result<(), AccountConflict> {
        let mut accounts = self.0.lock();
        let place = accounts
            .iter()
            .position(|known| known["id"] == id)
            .ok_or(AccountConflict::Unknown)?;
        let old = &accounts[place];
        if account
            .get("modified")
            .is_some_and(|modified| *modified != old["modified"])
        {
            return Err(AccountConflict::Modified);
        }
        name_is_free(&accounts, &account, id)?;
        let created = old["created"].clone();
        let modified = later_than(&old["modified"], now);
        accounts[place] = stamped(account, id, created, json!(modified));
        Ok(())
    }

    /// Puts an account in place of the one with its id, or beside the others, unchecked.
    pub(in crate::sandbox) fn put(&self, account: Value) {
        let mut accounts = self.0.lock();
        accounts.retain(|known| known["id"] != account["id"]);
        accounts.push(account);
    }

    pub(in crate::sandbox) fn get(&self, id: &str) -> Option<Value> {
        self.0
            .lock()
            .iter()
            .find(|account| account["id"] == id)
            .cloned()
    }

    pub(in crate::sandbox) fn all(&self) -> Vec<Value> {
        self.0.lock().clone()
    }

    /// Whether there was such an account.
    pub(in crate::sandbox) fn remove(&self, id: &str) -> bool {
        let mut accounts = self.0.lock();
        let before = accounts.len();
        accounts.retain(|account| account["id"] != id);
        accounts.len() < before
    }

    pub(in crate::sandbox) fn clear(&self) {
        self.0.lock().clear();
    }
}

fn name_is_free(
    accounts: &[Value],
    account: &Map<String, Value>,
    id: &str,
) -> Result<(), AccountConflict> {
    let taken = accounts
        .iter()
        .any(|other| other["id"] != id && Some(&other["name"]) == account.get("name"));
    if taken {
        Err(AccountConflict::Name)
    } else {
        Ok(())
    }
}

/// A lock has to change with each write, also with two in one millisecond.
fn later_than(modified: &Value, now: Timestamp) -> String {
    let before = modified
        .as_str()
        .and_then(|text| text.parse::<Timestamp>().ok())
        .unwrap_or(Timestamp::MIN);
    rfc3339(
        now.max(
            before
                .saturating_add(SignedDuration::from_millis(1))
                .unwrap_or(Timestamp::MAX),
        ),
    )
}

fn stamped(mut account: Map<String, Value>, id: &str, created: Value, modified: Value) -> Value {
    account.extend([
        ("id".to_owned(), json!(id)),
        ("created".to_owned(), created),
        ("modified".to_owned(), modified),
    ]);
    Value::Object(account)
}
