//! The backend that the command line names.

use anyhow::bail;
use console::reach::ENDPOINT;
use forwarder::Config;
use settings::{Env, Source};
use std::collections::HashMap;

/// A backend, by arguments or by the forwarder's variables.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct DestinationArguments {
    /// Base URL of the OTLP endpoint, with `/api/{org}` for OpenObserve; by default, the forwarder's variables apply.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Header of every request; may be repeated.
    #[arg(long = "header", value_name = "K=V")]
    headers: Vec<String>,
    /// Email and password of a user, instead of an authorization header.
    #[arg(long, value_name = "EMAIL:PASSWORD")]
    user: Option<String>,
    /// OpenObserve stream of logs and traces.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
}

impl DestinationArguments {
    /// Returns `true` if there is an endpoint, by the argument or the variable.
    pub(crate) fn has_endpoint(&self) -> bool {
        self.endpoint.is_some() || Env.get(ENDPOINT).is_some()
    }

    // For `dev`, which runs on Linux only.
    #[cfg(target_os = "linux")]
    pub(crate) fn needs_endpoint(&self) -> bool {
        self.user.is_some() || self.stream.is_some() || !self.headers.is_empty()
    }

    /// Prints a warning for each variable of credentials that `--endpoint` leaves unused.
    pub(crate) fn print_warnings(&self) {
        if self.endpoint.is_none() || !self.headers.is_empty() || self.user.is_some() {
            return;
        }
        for name in CREDENTIALS.iter().filter(|name| Env.get(name).is_some()) {
            eprintln!("warning: {name} is not sent to --endpoint; use --user or --header");
        }
    }

    /// Returns these arguments as variables over those of the process. A dry run needs no endpoint.
    pub(crate) fn variables(&self, dry_run: bool) -> anyhow::Result<Overlay> {
        let mut arguments = HashMap::new();
        if let Some(endpoint) = &self.endpoint {
            arguments.insert(ENDPOINT.to_owned(), endpoint.clone());
        } else if dry_run {
            arguments.insert(ENDPOINT.to_owned(), "http://127.0.0.1/".to_owned());
        }
        if let Some(stream) = &self.stream {
            arguments.insert(STREAM.to_owned(), stream.clone());
        }
        let mut headers = Vec::new();
        for header in &self.headers {
            let Some((name, value)) = header.split_once('=') else {
                bail!("--header: expected K=V, for example authorization=Basic …");
            };
            // A comma separates headers in the variable.
            let escaped = value.replace('%', "%25").replace(',', "%2C");
            headers.push(format!("{name}={escaped}"));
        }
        if let Some(user) = &self.user {
            if !user.contains(':') {
                bail!("--user: expected EMAIL:PASSWORD");
            }
            let mut credentials = Vec::new();
            wire::push_base64(&mut credentials, user.as_bytes());
            headers.push(format!("authorization=Basic {}", String::from_utf8(credentials)?));
        }
        if !headers.is_empty() {
            arguments.insert(HEADERS.to_owned(), headers.join(","));
        }
        let endpoint_given = self.endpoint.is_some();
        Ok(Overlay { arguments, endpoint_given, deployed: HashMap::new() })
    }
}

/// Reads the forwarder's settings. Prints the warnings about them.
pub(crate) fn read_config(variables: &dyn Source) -> anyhow::Result<Config> {
    let (config, warnings) = Config::from_source(variables);
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    Ok(config?)
}

const HEADERS: &str = "LAMBDA_OTLP_HEADERS";
const SECRET: &str = "LAMBDA_OTLP_SECRET";
const STREAM: &str = "LAMBDA_OTLP_STREAM";
/// The variables of credentials, which are not sent to another endpoint than that of the variables.
const CREDENTIALS: &[&str] = &[HEADERS, SECRET];

/// The forwarder's variables, as the arguments, this process's environment, or a deployed forwarder set them. An earlier of these three
/// takes precedence.
pub(crate) struct Overlay {
    /// The arguments, under the names of the variables.
    arguments: HashMap<String, String>,
    /// `true` if `--endpoint` is given.
    endpoint_given: bool,
    deployed: HashMap<String, String>,
}

impl Overlay {
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.arguments.insert(name.to_owned(), value.into());
        self
    }

    /// Uses these variables of a deployed forwarder where the arguments and the environment have none.
    pub(crate) fn over(self, deployed: HashMap<String, String>) -> Self {
        Self { deployed, ..self }
    }

    /// Returns a variable of credentials from the environment or the deployed forwarder, whichever has the endpoint too.
    fn credential(&self, name: &str) -> Option<String> {
        if self.endpoint_given {
            return None;
        }
        let is_endpoint_deployed =
            Env.get(ENDPOINT).is_none() && self.deployed.contains_key(ENDPOINT);
        if !is_endpoint_deployed {
            return Env.get(name);
        }
        // The arguments' header takes the place of the secret.
        if self.arguments.contains_key(HEADERS) {
            return None;
        }
        self.deployed.get(name).cloned()
    }
}

impl Source for Overlay {
    fn name_as_given(&self, name: &str) -> String {
        let is_given = || self.arguments.contains_key(name);
        let argument = match name {
            ENDPOINT if self.endpoint_given => "--endpoint",
            ENDPOINT if self.get(name).is_none() => "--endpoint or LAMBDA_OTLP_ENDPOINT",
            // With --endpoint, headers come only from --header.
            HEADERS if self.endpoint_given || is_given() => "--header",
            STREAM if is_given() => "--stream",
            _ => name,
        };
        argument.to_owned()
    }

    fn get(&self, name: &str) -> Option<String> {
        if let Some(value) = self.arguments.get(name) {
            return Some(value.clone());
        }
        if CREDENTIALS.contains(&name) {
            return self.credential(name);
        }
        Env.get(name).or_else(|| self.deployed.get(name).cloned())
    }

    fn names(&self) -> Vec<String> {
        self.arguments.keys().cloned().chain(Env.names()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay(endpoint: Option<&str>, header: Option<&str>) -> Overlay {
        let arguments = DestinationArguments {
            endpoint: endpoint.map(str::to_owned),
            headers: header.map(str::to_owned).into_iter().collect(),
            ..DestinationArguments::default()
        };
        let deployed = [
            (ENDPOINT, "https://o2.example.com/api/default"),
            (HEADERS, "authorization=deployed"),
            (SECRET, "/credentials"),
            ("LAMBDA_OTLP_BACKEND", "otlp"),
        ];
        let owned = deployed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        arguments.variables(false).unwrap().over(HashMap::from(owned))
    }

    #[test]
    fn a_deployed_forwarders_credentials_go_to_its_endpoint_only() {
        let deployed = overlay(None, None);
        let endpoint = deployed.get(ENDPOINT);
        assert_eq!(endpoint.as_deref(), Some("https://o2.example.com/api/default"));
        assert_eq!(deployed.get(HEADERS).as_deref(), Some("authorization=deployed"));
        assert_eq!(deployed.get("LAMBDA_OTLP_BACKEND").as_deref(), Some("otlp"));
        let given = overlay(Some("http://127.0.0.1:5080/api/default"), None);
        assert_eq!(given.get(ENDPOINT).as_deref(), Some("http://127.0.0.1:5080/api/default"));
        assert_eq!(given.get(HEADERS), None);
        assert_eq!(given.get("LAMBDA_OTLP_BACKEND").as_deref(), Some("otlp"));
        let header = overlay(None, Some("authorization=mine"));
        assert_eq!(header.get(HEADERS).as_deref(), Some("authorization=mine"));
        assert_eq!(
            (deployed.get(SECRET).as_deref(), header.get(SECRET)),
            (Some("/credentials"), None)
        );
    }
}
