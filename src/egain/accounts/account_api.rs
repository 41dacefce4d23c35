//! The calls of the Account and Channel APIs. All spend the other routes' budget.

use std::convert::identity;

use bytes::Bytes;
use serde_json::Value;

use super::{Account, Channel};
use crate::egain::api_request::ApiRequest;
use crate::egain::egain_client::EgainClient;
use crate::egain::operation::EgainOperation;
use crate::egain::response::ApiResponse;
use crate::types::account::{AccountId, ChannelId};
use crate::types::caller::Principal;
use crate::types::error::{Error, ErrorCode, Stage};

impl EgainClient {
    /// `POST /accounts`: returns the id of the new account.
    pub async fn create_account(
        &self,
        account: &Account,
        principal: &Principal,
    ) -> Result<String, Error> {
        let operation = EgainOperation::CreateAccount;
        let path = "/accounts".to_owned();
        let response = self
            .manage(operation, path, to_json(account), principal)
            .await?;
        let created = self.read(&response)?;
        match &created["id"] {
            Value::String(id) => Ok(id.clone()),
            Value::Number(id) => Ok(id.to_string()),
            _ => Err(self.unusable_account(&response, "has no id of the new account")),
        }
    }

    /// `GET /accounts`, with a query as eGain knows it: returns the response as it came.
    pub async fn list_accounts(&self, query: &str, principal: &Principal) -> Result<Value, Error> {
        let path = with_query("/accounts", query);
        self.get(EgainOperation::ListAccounts, path, principal)
            .await
    }

    /// `GET /accounts/{id}`, as it came, with its secrets.
    pub async fn get_account(&self, id: &AccountId, principal: &Principal) -> Result<Value, Error> {
        let path = format!("/accounts/{id}");
        self.get(EgainOperation::GetAccount, path, principal).await
    }

    /// `PUT /accounts/{id}`: a full replacement. eGain refuses it if `modified` isn't the account's
    /// any more.
    pub async fn replace_account(
        &self,
        id: &AccountId,
        account: &Account,
        modified: &Value,
        principal: &Principal,
    ) -> Result<(), Error> {
        let mut document = serde_json::to_value(account).expect("it has string keys");
        if !modified.is_null() {
            document["modified"] = modified.clone();
        }
        let operation = EgainOperation::ReplaceAccount;
        let path = format!("/accounts/{id}");
        self.manage(operation, path, to_json(&document), principal)
            .await?;
        Ok(())
    }

    /// `DELETE /accounts/{id}`
    pub async fn delete_account(&self, id: &AccountId, principal: &Principal) -> Result<(), Error> {
        let operation = EgainOperation::DeleteAccount;
        let path = format!("/accounts/{id}");
        self.manage(operation, path, Bytes::new(), principal)
            .await?;
        Ok(())
    }

    /// `GET /channels`, with a query as eGain knows it: returns the response as it came.
    pub async fn list_channels(&self, query: &str, principal: &Principal) -> Result<Value, Error> {
        let path = with_query("/channels", query);
        self.get(EgainOperation::ListChannels, path, principal)
            .await
    }

    /// `GET /channels/{id}`, as it came; see [`Channel::read`].
    pub async fn get_channel(&self, id: &ChannelId, principal: &Principal) -> Result<Value, Error> {
        let path = format!("/channels/{id}");
        self.get(EgainOperation::GetChannel, path, principal).await
    }

    async fn get(
        &self,
        operation: EgainOperation,
        path: String,
        principal: &Principal,
    ) -> Result<Value, Error> {
        let response = self
            .manage(operation, path, Bytes::new(), principal)
            .await?;
        self.read(&response)
    }

    async fn manage(
        &self,
        operation: EgainOperation,
        path: String,
        body: Bytes,
        principal: &Principal,
    ) -> Result<ApiResponse, Error> {
        let request = ApiRequest::Manage {
            operation,
            path,
            body,
        };
        let (response, _) = self.api.send(&request, principal, identity).await?;
        Ok(response)
    }

    fn read(&self, response: &ApiResponse) -> Result<Value, Error> {
        match serde_json::from_slice(&response.body) {
            Ok(value @ Value::Object(_)) => Ok(value),
            _ => Err(self.unusable_account(response, "isn't the documented JSON")),
        }
    }

    fn unusable_account(&self, response: &ApiResponse, what: &str) -> Error {
        response.unusable(Stage::Manage, &response.fields(&self.metrics), what)
    }
}

impl Channel {
    /// Reads a channel from eGain.
    ///
    /// # Errors
    /// eGain can't be called, has no such channel, or doesn't give its type.
    pub async fn fetch(
        egain: &EgainClient,
        id: &ChannelId,
        principal: &Principal,
    ) -> Result<Self, Error> {
        let channel = egain.get_channel(id, principal).await?;
        if let Some(channel) = Self::read(&channel) {
            return Ok(channel);
        }
        let detail = "eGain's channel has no type: contact eGain's support";
        Err(Error::egain(
            ErrorCode::UpstreamError,
            Stage::Manage,
            detail,
        ))
    }
}

fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

fn to_json(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value)
        .expect("it has string keys")
        .into()
}
