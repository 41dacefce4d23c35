//! Settings: what may be set, where it is read from, and what is wrong with it.
//!
//! Four modules do the work, in this order. `sources` reads the environment and a TOML file, the
//! environment over the file; `schema` declares the keys, the types of their values and their
//! rules; `errors` collects every mistake, named by its key; `build` turns settings into what each
//! part of the service is given. `sections` are the keys themselves. Only `settings` reads the
//! environment. Nothing here opens a socket.

mod build;
pub mod errors;
pub mod schema;
mod sections;
mod settings;
mod sources;

pub use build::ServiceConfigs;
pub use sections::auth::AuthMode;
pub use settings::Settings;
