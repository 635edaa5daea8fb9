//! API Gateway: REST APIs (payload version 1) and HTTP APIs (version 2, which function URLs use too).

use super::SpanAttributesExtractor;
use super::http_request::{HttpRequest, query_string, route_of_key, web_socket};
use super::span_attributes::SpanAttributes;
use aws_lambda_events::apigw::{
    ApiGatewayProxyRequest, ApiGatewayV2httpRequest, ApiGatewayWebsocketProxyRequest,
};
use aws_lambda_events::http::HeaderMap;
use aws_lambda_events::query_map::QueryMap;
use std::collections::HashMap;

impl SpanAttributesExtractor for ApiGatewayV2httpRequest {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let http = &self.request_context.http;
        HttpRequest {
            method: http.method.to_string(),
            route: self
                .route_key
                .as_deref()
                .or(self.request_context.route_key.as_deref())
                .and_then(route_of_key),
            path: self.raw_path.clone().or_else(|| http.path.clone()),
            query: self.raw_query_string.clone(),
            protocol: http.protocol.clone(),
            client_address: http.source_ip.clone(),
            domain_name: self.request_context.domain_name.clone(),
            user_agent: http.user_agent.clone(),
            target_group: None,
            headers: headers(&self.headers),
            received_ms: u64::try_from(self.request_context.time_epoch).ok(),
        }
        .into_span_attributes()
    }
}

#[cfg(feature = "alb")]
impl SpanAttributesExtractor for aws_lambda_events::alb::AlbTargetGroupRequest {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let query = query(&self.query_string_parameters, &self.multi_value_query_string_parameters);
        HttpRequest {
            method: self.http_method.to_string(),
            path: self.path.clone(),
            query: Some(super::http_request::joined(&query)),
            target_group: self
                .request_context
                .elb
                .target_group_arn
                .clone()
                .map(|arn| opentelemetry::KeyValue::new("alb.target_group_arn", arn)),
            headers: all_headers(&self.headers, &self.multi_value_headers),
            ..HttpRequest::default()
        }
        .into_span_attributes()
    }
}

impl SpanAttributesExtractor for ApiGatewayProxyRequest {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let context = &self.request_context;
        let query = query(&self.query_string_parameters, &self.multi_value_query_string_parameters);
        HttpRequest {
            method: self.http_method.to_string(),
            route: self.resource.clone().or_else(|| context.resource_path.clone()),
            path: self.path.clone(),
            query: Some(query_string(&query)),
            protocol: context.protocol.clone(),
            client_address: context.identity.source_ip.clone(),
            domain_name: context.domain_name.clone(),
            user_agent: context.identity.user_agent.clone(),
            target_group: None,
            headers: all_headers(&self.headers, &self.multi_value_headers),
            received_ms: u64::try_from(context.request_time_epoch).ok(),
        }
        .into_span_attributes()
    }
}

impl SpanAttributesExtractor for ApiGatewayWebsocketProxyRequest {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let route_key = self.request_context.route_key.clone().unwrap_or_default();
        web_socket(route_key, headers(&self.headers))
    }
}

/// All parameters if an event repeats a name, or else the single ones.
fn query(single: &QueryMap, several: &QueryMap) -> Vec<(String, String)> {
    let parameters = if several.is_empty() { single } else { several };
    parameters.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn all_headers(single: &HeaderMap, several: &HeaderMap) -> HashMap<String, String> {
    let mut all = headers(several);
    all.extend(headers(single));
    all
}

fn headers(headers: &HeaderMap) -> HashMap<String, String> {
    headers
        .iter()
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect()
}
