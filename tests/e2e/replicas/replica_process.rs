//! The real program as a replica, which can be killed, and whose log can be read.

use crate::support::binary::{Running, owned, program, settings};
use crate::support::client::{Client, RequestBuilder};
use crate::support::redis::SEAL_KEY;
use asset_gateway::sandbox::Sandbox;

/// The real program with a Redis.
pub(crate) struct ReplicaProcess {
    pub running: Running,
    url: String,
    client: Client,
}

impl ReplicaProcess {
    /// With these variables of the environment, which get no prefix.
    pub(crate) async fn start(
        sandbox: &Sandbox,
        redis_url: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut variables = settings(sandbox);
        variables.extend(owned(&[
            ("CACHE__REDIS_URL", redis_url),
            ("CACHE__SEAL_KEY", SEAL_KEY),
        ]));
        let mut command = program(&["serve"], &variables);
        command.envs(environment.iter().copied());
        let running = Running::start(command);
        let url = format!("http://{}", running.listens().await.0);
        let client = Client::with(|builder| builder);
        Self {
            running,
            url,
            client,
        }
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    /// Kills it.
    pub(crate) async fn end(mut self) {
        self.running.signal("KILL");
        self.running.ending().await;
    }

    /// How often its log has this message.
    pub(crate) fn logged(&self, message: &str) -> usize {
        let message = format!("\"{message}\"");
        let log = self.running.said();
        log.lines().filter(|line| line.contains(&message)).count()
    }
}
