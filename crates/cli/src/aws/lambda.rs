//! Lambda's API, as far as the commands use it (Lambda API Reference).

use super::{LONGEST, read_json};
use ::aws::{Api, ApiError, ApiRequest, AwsResponse, PathEncoding, Service};
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::time::Instant;

/// The code of Lambda's errors about what does not exist.
pub(crate) const MISSING: &str = "ResourceNotFoundException";

pub(super) const LAMBDA: Service = Service {
    name: "lambda",
    path_encoding: PathEncoding::Twice,
    // A page of `ListFunctions` has 50 functions, each with at most 4 kB of variables.
    max_response_bytes: 8 << 20,
    read_error: AwsResponse::refusal,
    is_temporary: |_| false,
};

/// A client of Lambda.
#[derive(Debug)]
pub(crate) struct Lambda {
    api: Api,
}

/// A function as Lambda describes it (Lambda API Reference, "FunctionConfiguration").
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct FunctionConfiguration {
    pub(crate) function_name: String,
    pub(crate) function_arn: String,
    /// Empty for an image.
    pub(crate) runtime: String,
    /// `Zip` or `Image`.
    pub(crate) package_type: String,
    pub(crate) architectures: Vec<String>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) environment: Environment,
    pub(crate) code_size: u64,
    pub(crate) snap_start: SnapStart,
    pub(crate) revision_id: String,
    /// `Pending`, `Active`, …
    pub(crate) state: String,
    /// `Successful`, `Failed`, `InProgress`.
    pub(crate) last_update_status: String,
    pub(crate) last_update_status_reason: Option<String>,
    pub(crate) logging_config: LoggingConfig,
}

impl FunctionConfiguration {
    /// The log group that the function writes to.
    pub(crate) fn log_group(&self) -> String {
        let stated = self.logging_config.log_group.clone();
        stated.unwrap_or_else(|| format!("/aws/lambda/{}", self.function_name))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Layer {
    pub(crate) arn: String,
    pub(crate) code_size: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Environment {
    pub(crate) variables: BTreeMap<String, String>,
    /// The reason why Lambda does not show the variables.
    pub(crate) error: Option<EnvironmentError>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct EnvironmentError {
    pub(crate) error_code: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct SnapStart {
    /// `PublishedVersions` or `None`.
    pub(crate) apply_on: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct LoggingConfig {
    pub(crate) log_group: Option<String>,
    /// `Text` or `JSON`.
    pub(crate) log_format: Option<String>,
}

/// A function with its tags (Lambda API Reference, "GetFunction").
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct TaggedFunction {
    pub(crate) configuration: Option<FunctionConfiguration>,
    pub(crate) tags: BTreeMap<String, String>,
    /// The reason why the tags cannot be read.
    pub(crate) tags_error: Option<TagsError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct TagsError {
    pub(crate) error_code: String,
    pub(crate) message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Alias {
    pub(crate) name: String,
    pub(crate) function_version: String,
}

/// A layer version (Lambda API Reference, "GetLayerVersionByArn").
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct LayerVersionDescription {
    pub(crate) compatible_architectures: Vec<String>,
    pub(crate) compatible_runtimes: Vec<String>,
    pub(crate) content: LayerContent,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct LayerContent {
    pub(crate) code_size: u64,
}

/// An event source mapping (Lambda API Reference, "EventSourceMappingConfiguration").
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct EventSourceMapping {
    #[serde(rename = "UUID")]
    pub(crate) uuid: String,
    pub(crate) function_arn: String,
    pub(crate) event_source_arn: String,
    /// `Enabled`, `Disabled`, `Disabling`, …
    pub(crate) state: String,
    pub(crate) last_processing_result: String,
}

/// The event source mappings to list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MappingsOf<'a> {
    Function(&'a str),
    EventSource(&'a str),
}

/// The end of a function's ARN: a version or an alias.
pub(crate) type Qualifier<'a> = Option<&'a str>;

impl Lambda {
    pub(super) fn new(api: Api) -> Self {
        Self { api }
    }

    pub(crate) async fn function_configuration(
        &self,
        function: &str,
        qualifier: Qualifier<'_>,
    ) -> Result<FunctionConfiguration, ApiError> {
        self.ask(qualified(format!("2015-03-31/functions/{function}/configuration"), qualifier))
            .await
    }

    pub(crate) async fn function(&self, name: &str) -> Result<TaggedFunction, ApiError> {
        self.ask(get(format!("2015-03-31/functions/{name}"))).await
    }

    /// All functions of the region.
    pub(crate) async fn functions(&self) -> Result<Vec<FunctionConfiguration>, ApiError> {
        self.list(get("2015-03-31/functions"), "Functions").await
    }

    pub(crate) async fn aliases(&self, function: &str) -> Result<Vec<Alias>, ApiError> {
        self.list(get(format!("2015-03-31/functions/{function}/aliases")), "Aliases").await
    }

    pub(crate) async fn layer_version(
        &self,
        arn: &str,
    ) -> Result<LayerVersionDescription, ApiError> {
        self.ask(get("2018-10-31/layers").with("find", "LayerVersion").with("Arn", arn)).await
    }

    /// A function's resource policy, as JSON; `None` if it has none.
    pub(crate) async fn policy(
        &self,
        function: &str,
        qualifier: Qualifier<'_>,
    ) -> Result<Option<String>, ApiError> {
        let path = format!("2015-03-31/functions/{function}/policy");
        let answer: Result<Value, ApiError> = self.ask(qualified(path, qualifier)).await;
        match answer {
            Ok(answer) => Ok(answer.get("Policy").and_then(Value::as_str).map(str::to_owned)),
            // A function without a policy is reported as an error.
            Err(error) if error.code() == Some(MISSING) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A function's reserved concurrency; `None` if none is reserved.
    pub(crate) async fn reserved_concurrency(
        &self,
        function: &str,
    ) -> Result<Option<u64>, ApiError> {
        let path = format!("2019-09-30/functions/{function}/concurrency");
        let answer: Value = self.ask(get(path)).await?;
        Ok(answer.get("ReservedConcurrentExecutions").and_then(Value::as_u64))
    }

    pub(crate) async fn event_source_mappings(
        &self,
        of: MappingsOf<'_>,
    ) -> Result<Vec<EventSourceMapping>, ApiError> {
        let request = get("2015-03-31/event-source-mappings");
        let request = match of {
            MappingsOf::Function(name) => request.with("FunctionName", name),
            MappingsOf::EventSource(arn) => request.with("EventSourceArn", arn),
        };
        self.list(request, "EventSourceMappings").await
    }

    /// The ARN to which Lambda sends events that failed at every attempt.
    pub(crate) async fn on_failure_destination(
        &self,
        function: &str,
    ) -> Result<Option<String>, ApiError> {
        let path = format!("2019-09-25/functions/{function}/event-invoke-config");
        let answer: Result<Value, ApiError> = self.ask(get(path)).await;
        match answer {
            Ok(answer) => {
                let destination = answer.pointer("/DestinationConfig/OnFailure/Destination");
                Ok(destination.and_then(Value::as_str).map(str::to_owned))
            }
            Err(error) if error.code() == Some(MISSING) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, ApiError> {
        let function: TaggedFunction = self.ask(get(format!("2017-03-31/tags/{arn}"))).await?;
        Ok(function.tags)
    }

    pub(crate) async fn tag(&self, arn: &str, tags: &BTreeMap<&str, &str>) -> Result<(), ApiError> {
        let request = ApiRequest::new(Method::POST, format!("2017-03-31/tags/{arn}"));
        self.send(with_json(request, &json!({ "Tags": tags }))).await.map(drop)
    }

    pub(crate) async fn untag(&self, arn: &str, keys: &[String]) -> Result<(), ApiError> {
        let mut request = ApiRequest::new(Method::DELETE, format!("2017-03-31/tags/{arn}"));
        for key in keys {
            request = request.with("tagKeys", key);
        }
        self.send(request).await.map(drop)
    }

    /// Changes members of a function's configuration, if it still has the `RevisionId` among them.
    pub(crate) async fn update_configuration(
        &self,
        function: &str,
        members: &Value,
    ) -> Result<(), ApiError> {
        let path = format!("2015-03-31/functions/{function}/configuration");
        self.send(with_json(ApiRequest::new(Method::PUT, path), members)).await.map(drop)
    }

    async fn send(&self, request: ApiRequest) -> Result<AwsResponse, ApiError> {
        self.api.send(&request, Instant::now() + LONGEST).await
    }

    async fn ask<A: DeserializeOwned>(&self, request: ApiRequest) -> Result<A, ApiError> {
        read_json(&self.send(request).await?)
    }

    /// Reads all pages of a list; `member` is its name in the answer.
    async fn list<A: DeserializeOwned>(
        &self,
        request: ApiRequest,
        member: &str,
    ) -> Result<Vec<A>, ApiError> {
        let mut all = Vec::new();
        let mut page = request.clone();
        loop {
            let mut answer: Value = self.ask(page).await?;
            let items = answer.get_mut(member).map_or_else(|| json!([]), Value::take);
            let items: Vec<A> = serde_json::from_value(items).map_err(|_| ApiError::Unreadable)?;
            all.extend(items);
            let next = answer.get("NextMarker").and_then(Value::as_str);
            match next.filter(|next| !next.is_empty()) {
                Some(next) => page = request.clone().with("Marker", next),
                None => return Ok(all),
            }
        }
    }
}

fn get(path: impl AsRef<str>) -> ApiRequest {
    ApiRequest::new(Method::GET, path)
}

fn qualified(path: String, qualifier: Qualifier<'_>) -> ApiRequest {
    match qualifier {
        Some(qualifier) => get(path).with("Qualifier", qualifier),
        None => get(path),
    }
}

fn with_json(request: ApiRequest, body: &Value) -> ApiRequest {
    request.with_body("application/json", body.to_string())
}
