//! How accounts of different providers differ.

use super::attribute::Attribute;

/// A provider's kind of account; the channel's type tells which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
pub enum AccountVariant {
    /// Bring your own channel: addresses are free text.
    #[strum(serialize = "a channel of your own")]
    Custom,
    /// Google ended the service in July 2024.
    #[strum(serialize = "Google Business Messaging")]
    GoogleBusinessMessaging,
    /// SMS by Twilio.
    #[strum(serialize = "Twilio SMS")]
    TwilioSms,
    /// WhatsApp by Twilio.
    #[strum(serialize = "WhatsApp")]
    WhatsApp,
}

/// ITU-T E.164 section 6.2.1: a number has no more digits.
const LONGEST_NUMBER: usize = 15;

impl AccountVariant {
    /// By the channel's `type`, such as `sms_twilio`.
    pub fn of_channel(channel_type: &str) -> Self {
        match channel_type {
            "sms_twilio" => Self::TwilioSms,
            "google_business_messaging" => Self::GoogleBusinessMessaging,
            whatsapp if whatsapp == "whatsapp" || whatsapp.starts_with("whatsapp_") => {
                Self::WhatsApp
            }
            _ => Self::Custom,
        }
    }

    /// What is wrong with an address.
    pub fn wrong_address(self, address: &str) -> Option<String> {
        let is_number = |text: &str| {
            (1..=LONGEST_NUMBER).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let (fits, expected) = match self {
            Self::Custom => return None,
            Self::TwilioSms => (
                address.strip_prefix('+').is_some_and(is_number),
                "+ and up to 15 digits",
            ),
            Self::WhatsApp => (is_number(address), "up to 15 digits without +"),
            Self::GoogleBusinessMessaging => {
                (is_brand_and_agent(address), "brands/<uuid>/agents/<uuid>")
            }
        };
        (!fits).then(|| format!("{expected} for {self}, is {address:?}"))
    }

    /// Names of attributes that the provider needs and that are missing.
    pub fn missing_attributes(
        self,
        attributes: &[Attribute],
    ) -> impl Iterator<Item = &'static str> {
        let needed: &[&str] = match self {
            Self::TwilioSms | Self::WhatsApp => &["accountSid", "authToken"],
            Self::Custom | Self::GoogleBusinessMessaging => &[],
        };
        needed
            .iter()
            .copied()
            .filter(|name| attributes.iter().all(|attribute| attribute.name != *name))
    }
}

fn is_brand_and_agent(address: &str) -> bool {
    match address.split('/').collect::<Vec<_>>()[..] {
        ["brands", brand, "agents", agent] => [brand, agent]
            .iter()
            .all(|id| uuid::Uuid::try_parse(id).is_ok()),
        _ => false,
    }
}
