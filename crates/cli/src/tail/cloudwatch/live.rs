//! A Live Tail session of CloudWatch Logs, which pushes log events within seconds (Amazon CloudWatch Logs API
//! Reference, StartLiveTail).

use super::Found;
use super::Group;
use crate::aws::explain;
use crate::shown::Incoming;
use anyhow::{Context as _, anyhow};
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::config::{Config, StalledStreamProtectionConfig};
use aws_sdk_cloudwatchlogs::operation::start_live_tail::StartLiveTailOutput;
use aws_sdk_cloudwatchlogs::types::{
    LiveTailSessionLogEvent, LiveTailSessionUpdate, StartLiveTailResponseStream,
};
use forwarder::LogEvent;
use std::sync::mpsc::SyncSender;

pub(super) struct Session {
    output: StartLiveTailOutput,
    /// The number of events, used as their ids, because Live Tail sends none.
    events: u64,
    has_said_sampled: bool,
}

impl Session {
    pub(super) async fn open(client: &Client, groups: &[Group]) -> anyhow::Result<Self> {
        let arns = groups.iter().map(|group| group.arn.clone()).collect();
        // A session without events is not stalled.
        let patient = StalledStreamProtectionConfig::disabled();
        let patient = Config::builder().stalled_stream_protection(patient);
        let asked = client.start_live_tail().set_log_group_identifiers(Some(arns));
        let output = asked.customize().config_override(patient).send().await;
        let output = output.map_err(|error| explain(&error))?;
        Ok(Self { output, events: 0, has_said_sampled: false })
    }

    /// Returns the next events. A session ends with an error after three hours.
    pub(super) async fn next(
        &mut self,
        groups: &[Group],
        sender: &SyncSender<Incoming>,
    ) -> anyhow::Result<Vec<Found>> {
        let next = self.output.response_stream.recv().await;
        let next = next.map_err(|error| explain(&error))?;
        match next.context("the session has ended")? {
            StartLiveTailResponseStream::SessionUpdate(update) => self.take(update, groups, sender),
            // The start of the session, or an unknown message.
            _ => Ok(Vec::new()),
        }
    }

    fn take(
        &mut self,
        update: LiveTailSessionUpdate,
        groups: &[Group],
        sender: &SyncSender<Incoming>,
    ) -> anyhow::Result<Vec<Found>> {
        let is_sampled = update.session_metadata.is_some_and(|metadata| metadata.sampled);
        if is_sampled && !std::mem::replace(&mut self.has_said_sampled, true) {
            let said = "Live Tail omits log events above 500 a second: use --poll to read all";
            sender.send(Incoming::Said(said.to_owned())).ok();
        }
        let events = update.session_results.unwrap_or_default().into_iter();
        events.map(|event| self.found(event, groups)).collect()
    }

    fn found(&mut self, event: LiveTailSessionLogEvent, groups: &[Group]) -> anyhow::Result<Found> {
        // `{account}:{name}`, a name, or an ARN.
        let identifier = event.log_group_identifier.unwrap_or_default();
        let is_meant = |group: &Group| {
            let name = identifier.strip_suffix(&group.name);
            name.is_some_and(|before| before.is_empty() || before.ends_with(':'))
        };
        let group = match groups {
            [_] => Some(0),
            several => several.iter().position(is_meant),
        };
        let group = group.ok_or_else(|| anyhow!("an event of unknown log group {identifier}"))?;
        self.events += 1;
        Ok(Found {
            group,
            stream: event.log_stream_name.unwrap_or_default(),
            event: LogEvent {
                id: format!("live-{}", self.events),
                timestamp_ms: event.timestamp.unwrap_or_default(),
                message: event.message.unwrap_or_default(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::for_tests;
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
    use serde_json::{Value, json};
    use std::sync::mpsc::sync_channel;
    use std::sync::{Arc, Mutex};

    /// A stream of CloudWatch Logs, and the requests for it.
    #[derive(Clone, Debug)]
    struct Service {
        stream: Vec<u8>,
        asked: Arc<Mutex<Vec<String>>>,
    }

    impl HttpConnector for Service {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let body = String::from_utf8_lossy(request.body().bytes().unwrap()).into_owned();
            self.asked.lock().unwrap().push(format!("{} {body}", request.uri()));
            let body = SdkBody::from(self.stream.clone());
            let mut response = HttpResponse::new(200.try_into().unwrap(), body);
            let kind = "application/vnd.amazon.eventstream";
            response.headers_mut().insert("content-type", kind);
            HttpConnectorFuture::ready(Ok(response))
        }
    }

    fn event(kind: &'static str, payload: &Value) -> Vec<u8> {
        let header = |name: &'static str, value: &'static str| {
            Header::new(name, HeaderValue::String(value.into()))
        };
        let message = Message::new(payload.to_string().into_bytes())
            .add_header(header(":message-type", "event"))
            .add_header(header(":event-type", kind))
            .add_header(header(":content-type", "application/json"));
        let mut frame = Vec::new();
        write_message_to(&message, &mut frame).unwrap();
        frame
    }

    fn update(sampled: bool, results: &[(&str, &str)]) -> Vec<u8> {
        let results = results.iter().map(|(identifier, message)| {
            json!({
                "logGroupIdentifier": identifier, "logStreamName": "s", "message": message,
                "timestamp": 1_790_000_000_000_u64, "ingestionTime": 1_790_000_000_001_u64,
            })
        });
        let results: Vec<Value> = results.collect();
        let update =
            json!({ "sessionMetadata": { "sampled": sampled }, "sessionResults": results });
        event("sessionUpdate", &update)
    }

    #[tokio::test]
    async fn live_events_are_attributed_to_their_log_group() {
        let group = |name: &str| Group {
            name: name.to_owned(),
            arn: format!("arn:aws:logs:eu-central-1:1:log-group:{name}"),
            account: "1".to_owned(),
        };
        let groups = [group("/aws/lambda/shop"), group("/aws/lambda/my-shop")];
        let start = json!({ "requestId": "r", "sessionId": "s" });
        let stream = [
            event("initial-response", &json!({})),
            event("sessionStart", &start),
            update(false, &[("1:/aws/lambda/my-shop", "one"), ("/aws/lambda/shop", "two")]),
            update(true, &[]),
            update(true, &[(&groups[0].arn, "three")]),
        ];
        let service = Service { stream: stream.concat(), asked: Arc::default() };
        let connector = SharedHttpConnector::new(service.clone());
        let client = http_client_fn(move |_, _| connector.clone());
        let client = Client::new(&for_tests().into_builder().http_client(client).build());
        let mut session = Session::open(&client, &groups).await.unwrap();
        let (sender, said) = sync_channel(8);
        let mut found = Vec::new();
        let end = loop {
            match session.next(&groups, &sender).await {
                Ok(more) => found.extend(more),
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!(end, "the session has ended");
        let found: Vec<_> =
            found.iter().map(|found| (found.group, found.event.message.as_str())).collect();
        assert_eq!(found, [(1, "one"), (0, "two"), (0, "three")]);
        // Missing events are reported once.
        assert!(matches!(said.try_recv(), Ok(Incoming::Said(text)) if text.contains("--poll")));
        assert!(said.try_recv().is_err());
        let asked = service.asked.lock().unwrap().join("\n");
        assert!(asked.starts_with("https://streaming-logs.eu-central-1.amazonaws.com/"), "{asked}");
        assert!(groups.iter().all(|group| asked.contains(&group.arn)), "{asked}");
    }
}
