//! Every example of docs/rules.md is valid. `effects` shows what most of them do.

use super::support::*;
use backend::Profile;
use lambda_otlp_forwarder::{Origin, RuleSet};

const DOCS: &str = include_str!("../../../../docs/rules.md");

fn blocks() -> Vec<&'static str> {
    let blocks = DOCS.split("```toml\n").skip(1);
    blocks.map(|rest| rest.split_once("```").expect("an end of the block").0).collect()
}

/// The example that contains this text.
#[track_caller]
pub(super) fn example(text: &str) -> RuleSet {
    let of_text: Vec<&str> = blocks().into_iter().filter(|block| block.contains(text)).collect();
    let [block] = of_text.as_slice() else { panic!("{} examples with {text}", of_text.len()) };
    RuleSet::parse(block).unwrap_or_else(|mistakes| panic!("{text}: {mistakes}"))
}

#[test]
fn every_toml_example_in_the_docs_parses() {
    let blocks = blocks();
    assert_eq!(blocks.len(), 11, "a new example needs a test of its effect below");
    for block in blocks {
        if let Err(mistakes) = RuleSet::parse(block) {
            panic!("{mistakes}\nin\n{block}");
        }
    }
}

#[test]
fn service_names() {
    let rules = example("[[service]]");
    let check = |log_group: &str, expected: Option<&str>| {
        assert_eq!(rules.service_name(&in_group(log_group)).as_deref(), expected, "{log_group}");
    };
    check("/ecs/shop/api", Some("shop"));
    check("shop-worker", Some("shop"));
    check("/aws/apigateway/welcome", Some("gateway-eu-west-1"));
    check("/aws/lambda/orders", None);
}

#[test]
fn destinations_and_routes() {
    let rules = example("[[route]]");
    let [audit] = rules.destinations() else { panic!("{:?}", rules.destinations()) };
    assert_eq!((audit.name.as_str(), audit.profile), ("audit", Profile::OpenObserve));
    assert_eq!(audit.endpoint.as_str(), "https://o2.example.com/api/audit");
    let secret = format!("{:?}", audit.secret);
    assert!(secret.contains("\"/lambda-otlp/audit\""), "{secret}");
    assert_eq!(audit.headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["x-tenant"]);
    let stream = audit.stream.as_ref().map(|stream| stream.fill_stream(&place()));
    assert_eq!(stream.as_deref(), Some("audit"));
    let check = |place: &Origin, expected: &[(&str, Option<&str>)]| {
        let routes = rules.routes(place);
        let routes: Vec<(&str, Option<&str>)> =
            routes.iter().map(|route| (route.destination, route.stream.as_deref())).collect();
        assert_eq!(routes, expected, "{place:?}");
    };
    check(&in_group("/aws/lambda/payments-api"), &[("audit", None), ("default", None)]);
    check(&in_group("/aws/lambda/orders"), &[]);
    let other = Origin::new("210987654321", "", "/aws/lambda/orders", "");
    check(&other, &[("default", Some("210987654321_orders"))]);
}
