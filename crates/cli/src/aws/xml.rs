//! The services that answer with XML, as far as the commands use them: CloudFormation, STS and S3.

use super::LONGEST;
use ::aws::{Api, ApiError, ApiRequest, AwsResponse, ErrorResponse, PathEncoding, Service};
use http::Method;
use roxmltree::{Document, Node};
use std::collections::HashMap;
use tokio::time::Instant;

pub(super) const CLOUDFORMATION: Service = Service {
    name: "cloudformation",
    path_encoding: PathEncoding::Twice,
    max_response_bytes: 8 << 20,
    read_error,
    is_temporary: |_| false,
};

pub(super) const STS: Service = Service {
    name: "sts",
    path_encoding: PathEncoding::Twice,
    max_response_bytes: 8 << 20,
    read_error,
    is_temporary: |_| false,
};

pub(super) const S3: Service = Service {
    name: "s3",
    path_encoding: PathEncoding::Once,
    // An event in the on-failure bucket: 6 MB, and more as escaped text. Larger objects are not read.
    max_response_bytes: 33 << 20,
    read_error,
    is_temporary: |_| false,
};

/// A client of CloudFormation (CloudFormation API Reference).
#[derive(Debug)]
pub(crate) struct CloudFormation {
    api: Api,
}

/// The values of a stack's outputs and parameters, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct StackValues {
    pub(crate) outputs: HashMap<String, String>,
    pub(crate) parameters: HashMap<String, String>,
}

/// A resource of a stack.
#[derive(Clone, Debug)]
pub(crate) struct StackResource {
    /// `AWS::Lambda::Function`
    pub(crate) kind: String,
    pub(crate) physical_id: String,
}

impl CloudFormation {
    pub(super) fn new(api: Api) -> Self {
        Self { api }
    }

    pub(crate) async fn stack_values(&self, stack: &str) -> Result<StackValues, ApiError> {
        let answer = self.ask("DescribeStacks", &[("StackName", stack)]).await?;
        let xml = parse(&answer)?;
        let described = members(&xml, "Stacks").next().ok_or(ApiError::Unreadable)?;
        let values = |list: &str, key: &str, value: &str| {
            let list = child(described, list);
            let members = list.into_iter().flat_map(|list| list.children());
            members.filter_map(|it| Some((text(it, key)?, text(it, value)?))).collect()
        };
        Ok(StackValues {
            outputs: values("Outputs", "OutputKey", "OutputValue"),
            parameters: values("Parameters", "ParameterKey", "ParameterValue"),
        })
    }

    /// The name of the resource with this logical id; `None` if AWS has no name for it.
    pub(crate) async fn resource_name(
        &self,
        stack: &str,
        id: &str,
    ) -> Result<Option<String>, ApiError> {
        let parameters = [("StackName", stack), ("LogicalResourceId", id)];
        let answer = self.ask("DescribeStackResource", &parameters).await?;
        let xml = parse(&answer)?;
        Ok(find(&xml, "StackResourceDetail").and_then(|it| text(it, "PhysicalResourceId")))
    }

    /// All resources of a stack that exist.
    pub(crate) async fn resources(&self, stack: &str) -> Result<Vec<StackResource>, ApiError> {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut parameters = vec![("StackName", stack)];
            parameters.extend(next.as_deref().map(|next| ("NextToken", next)));
            let answer = self.ask("ListStackResources", &parameters).await?;
            let xml = parse(&answer)?;
            all.extend(members(&xml, "StackResourceSummaries").filter_map(|it| {
                let physical_id = text(it, "PhysicalResourceId")?;
                Some(StackResource { kind: text(it, "ResourceType")?, physical_id })
            }));
            next = find(&xml, "ListStackResourcesResult").and_then(|it| text(it, "NextToken"));
            if next.is_none() {
                return Ok(all);
            }
        }
    }

    async fn ask(
        &self,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<AwsResponse, ApiError> {
        query(&self.api, action, "2010-05-15", parameters).await
    }
}

/// Returns the account of the credentials (STS API Reference, "GetCallerIdentity").
pub(super) async fn account(sts: &Api) -> Result<Option<String>, ApiError> {
    let answer = query(sts, "GetCallerIdentity", "2011-06-15", &[]).await?;
    let xml = parse(&answer)?;
    Ok(find(&xml, "GetCallerIdentityResult").and_then(|it| text(it, "Account")))
}

/// Sends a request of AWS's query protocol (Smithy, "AWS query protocol").
async fn query(
    api: &Api,
    action: &str,
    version: &str,
    parameters: &[(&str, &str)],
) -> Result<AwsResponse, ApiError> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", action).append_pair("Version", version).extend_pairs(parameters);
    let request = ApiRequest::new(Method::POST, "")
        .with_body("application/x-www-form-urlencoded; charset=utf-8", form.finish());
    api.send(&request, Instant::now() + LONGEST).await
}

/// A client of one bucket (Amazon S3 API Reference).
#[derive(Debug)]
pub(crate) struct Bucket {
    api: Api,
    name: String,
}

/// The begin of a bucket's list, in the order of keys.
#[derive(Debug, Default)]
pub(crate) struct ObjectList {
    pub(crate) objects: Vec<ListedObject>,
    /// There are more.
    pub(crate) is_truncated: bool,
}

#[derive(Debug)]
pub(crate) struct ListedObject {
    pub(crate) key: String,
    pub(crate) bytes: u64,
}

impl Bucket {
    /// `api` has the bucket in its endpoint.
    pub(super) fn new(api: Api, name: &str) -> Self {
        Self { api, name: name.to_owned() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// At most `limit` objects with keys after `after`.
    pub(crate) async fn list(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<ObjectList, ApiError> {
        let mut request = ApiRequest::new(Method::GET, "")
            .with("list-type", "2")
            .with("max-keys", limit.to_string());
        if let Some(after) = after {
            request = request.with("start-after", after);
        }
        let answer = self.send(&request).await?;
        let xml = parse(&answer)?;
        let listed = xml.root_element();
        let contents = listed.children().filter(|it| it.tag_name().name() == "Contents");
        let object = |it: Node<'_, '_>| {
            let bytes = text(it, "Size").and_then(|size| size.parse().ok()).unwrap_or_default();
            Some(ListedObject { key: text(it, "Key")?, bytes })
        };
        Ok(ObjectList {
            objects: contents.filter_map(object).collect(),
            is_truncated: text(listed, "IsTruncated").as_deref() == Some("true"),
        })
    }

    pub(crate) async fn read(&self, key: &str) -> Result<Vec<u8>, ApiError> {
        let request = ApiRequest::new(Method::GET, key);
        Ok(self.send(&request).await?.body)
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<(), ApiError> {
        self.send(&ApiRequest::new(Method::DELETE, key)).await.map(drop)
    }

    async fn send(&self, request: &ApiRequest) -> Result<AwsResponse, ApiError> {
        self.api.send(request, Instant::now() + LONGEST).await
    }
}

/// Reads `<Error><Code>…</Code><Message>…</Message></Error>`, which may stand in an `<ErrorResponse>`.
fn read_error(response: &AwsResponse) -> ErrorResponse {
    let body = String::from_utf8_lossy(&response.body);
    let document = Document::parse(&body).ok();
    let error = document.as_ref().and_then(|document| find_named(document, "Error"));
    let member = |name: &str| error.and_then(|error| text(error, name)).unwrap_or_default();
    ErrorResponse::new(response.status, &member("Code"), &member("Message"))
}

fn parse(response: &AwsResponse) -> Result<Document<'_>, ApiError> {
    let body = std::str::from_utf8(&response.body).ok();
    let document = body.and_then(|body| Document::parse(body).ok());
    let is_page = |it: &Document<'_>| it.root_element().tag_name().name() == "html";
    document.filter(|it| !is_page(it)).ok_or(ApiError::NotOfAws(response.status))
}

fn find<'d>(document: &'d Document<'d>, name: &str) -> Option<Node<'d, 'd>> {
    find_named(document, name)
}

fn find_named<'d, 'i>(document: &'d Document<'i>, name: &str) -> Option<Node<'d, 'i>> {
    document.descendants().find(|node| node.tag_name().name() == name)
}

/// The elements of the first list with this name.
fn members<'d>(
    document: &'d Document<'d>,
    list: &str,
) -> impl Iterator<Item = Node<'d, 'd>> + use<'d> {
    let list = find(document, list);
    list.into_iter().flat_map(|list| list.children()).filter(Node::is_element)
}

fn child<'d, 'i>(node: Node<'d, 'i>, name: &str) -> Option<Node<'d, 'i>> {
    node.children().find(|child| child.tag_name().name() == name)
}

fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    child(node, name)?.text().map(str::to_owned)
}
