//! HTTP events of API Gateway, function URLs and load balancers.

use crate::trigger::SpanAttributesExtractor;
use crate::trigger::http_request::{self, HttpRequest};
use crate::trigger::span_attributes::SpanAttributes;
use aws_lambda_events::apigw::{
    ApiGatewayProxyRequest, ApiGatewayV2httpRequest, ApiGatewayWebsocketProxyRequest,
};
use aws_lambda_events::http::HeaderMap;
use aws_lambda_events::query_map::QueryMap;
use std::collections::HashMap;

#[cfg(feature = "lambda_http")]
impl SpanAttributesExtractor for lambda_http::request::LambdaRequest {
    fn extract_span_attributes(&self) -> SpanAttributes {
        match self {
            Self::ApiGatewayV1(event) => event.extract_span_attributes(),
            Self::ApiGatewayV2(event) => event.extract_span_attributes(),
            Self::Alb(event) => event.extract_span_attributes(),
            Self::WebSocket(event) => event.extract_span_attributes(),
            // The application's features determine the other variants.
            #[allow(unreachable_patterns, reason = "as above")]
            _ => SpanAttributes::default(),
        }
    }
}

/// HTTP APIs (payload version 2), which function URLs use too.
impl SpanAttributesExtractor for ApiGatewayV2httpRequest {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let http = &self.request_context.http;
        HttpRequest {
            method: http.method.to_string(),
            route: self
                .route_key
                .as_deref()
                .or(self.request_context.route_key.as_deref())
                .and_then(http_request::route_of_key),
            path: self.raw_path.clone().or_else(|| http.path.clone()),
            query: self.raw_query_string.clone(),
            protocol: http.protocol.clone(),
            client_address: http.source_ip.clone(),
            domain_name: self.request_context.domain_name.clone(),
            user_agent: http.user_agent.clone(),
            headers: headers(&self.headers),
            received_ms: u64::try_from(self.request_context.time_epoch).ok(),
        }
        .describe_as("HTTP API and function URL")
    }
}

#[cfg(feature = "alb")]
impl SpanAttributesExtractor for aws_lambda_events::alb::AlbTargetGroupRequest {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let query = query(&self.query_string_parameters, &self.multi_value_query_string_parameters);
        let target_group = self.request_context.elb.target_group_arn.clone();
        let mut described = HttpRequest {
            method: self.http_method.to_string(),
            path: self.path.clone(),
            query: Some(http_request::query_of_encoded(query)),
            headers: all_headers(&self.headers, &self.multi_value_headers),
            ..HttpRequest::default()
        }
        .describe_as("Application Load Balancer");
        described.attributes.extend(
            target_group.map(|arn| opentelemetry::KeyValue::new("alb.target_group_arn", arn)),
        );
        described
    }
}

/// REST APIs (payload version 1).
impl SpanAttributesExtractor for ApiGatewayProxyRequest {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let context = &self.request_context;
        let query = query(&self.query_string_parameters, &self.multi_value_query_string_parameters);
        HttpRequest {
            method: self.http_method.to_string(),
            route: self.resource.clone().or_else(|| context.resource_path.clone()),
            path: self.path.clone(),
            query: Some(http_request::query_of_decoded(query)),
            protocol: context.protocol.clone(),
            client_address: context.identity.source_ip.clone(),
            domain_name: context.domain_name.clone(),
            user_agent: context.identity.user_agent.clone(),
            headers: all_headers(&self.headers, &self.multi_value_headers),
            received_ms: u64::try_from(context.request_time_epoch).ok(),
        }
        .describe_as("REST API")
    }
}

impl SpanAttributesExtractor for ApiGatewayWebsocketProxyRequest {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let route_key = self.request_context.route_key.clone().unwrap_or_default();
        http_request::describe_web_socket(route_key, headers(&self.headers))
    }
}

/// All parameters if an event repeats a name, or else the single ones.
fn query(single: &QueryMap, several: &QueryMap) -> Vec<(String, String)> {
    let parameters = if several.is_empty() { single } else { several };
    parameters.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The headers, of which `several` has all values.
fn all_headers(single: &HeaderMap, several: &HeaderMap) -> HashMap<String, String> {
    let mut all = headers(single);
    all.extend(headers(several));
    all
}

fn headers(headers: &HeaderMap) -> HashMap<String, String> {
    let mut joined: HashMap<String, String> = HashMap::with_capacity(headers.keys_len());
    for (name, value) in headers {
        let Ok(value) = value.to_str() else { continue };
        joined
            .entry(name.as_str().to_owned())
            .and_modify(|values| {
                values.push(',');
                values.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    joined
}
