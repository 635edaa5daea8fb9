//! Typical mistakes of a user, and what the command line says about each. `mistakes.txt` has the messages.

use bytes::Bytes;
use expect_test::expect_file;
use http::{Request, Response};
use http_body_util::Full;
use lambda_otlp_tests::binary;
use local_lambda::HttpServer;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

/// Variables and arguments. `PROXY` is the address of a server that shows a page, `AWS` of one that answers `http://AWS/CODE` with
/// this error as AWS does, `http://AWS/html` with a page, and `http://AWS/empty` as an account with a forwarder and no log groups.
/// `FOLDER` has an old Python, and a configuration of AWS with the profile `shop`, which has no credentials.
const MISTAKES: &[(&[&str], &str)] = &[
    (&[], "forward shop.log"),
    (&[], "forward no-such-file --dry-run"),
    (&[], "forward . --dry-run"),
    (&[], "forward broken.json --dry-run"),
    (&[], "forward shop.log --endpoint o2.example.com/api/default"),
    (&[], "forward shop.log --endpoint http://127.0.0.1:9/api/default --header Basic"),
    (&[], "forward shop.log --endpoint http://127.0.0.1:9/api/default --user me@example.com"),
    (
        &[],
        "forward shop.log --endpoint https://o2.example.com/api/a --header content-type=text/plain",
    ),
    (&[], "nonsense"),
    (&[], "decode shop.log"),
    (&[], "forward old.log --dry-run"),
    (&[], "decode shop.log no-such-file"),
    (&[], "tail ."),
    (&["LAMBDA_OTLP_INGEST_WINDOW=1000000h"], "forward no-such-file garbage.json --dry-run"),
    (&["LAMBDA_OTLP_RULES=routes.toml"], "forward otlp.log --dry-run"),
    (&[], "doctor"),
    (&["LAMBDA_OTLP_ENDPOINT=htps://o2.example.com/api/default"], "doctor"),
    (&["LAMBDA_OTLP_ENDPOINT=o2.example.com", "LAMBDA_OTLP_NAMES=old"], "doctor"),
    (&[], "doctor --endpoint http://127.0.0.1:9/api/default"),
    (&[], "doctor --endpoint http://PROXY/api/default --user a:b"),
    (&[], "dashboards install --endpoint http://PROXY/api/default --user a:b"),
    (&[], "doctor --stack lambda-otlp --profile no-such-profile"),
    (&["AWS_PROFILE=no-such-profile"], "fleet"),
    (&["AWS_CONFIG_FILE=FOLDER/config", "AWS_PROFILE=no-such-profile"], "fleet"),
    (&["AWS_CONFIG_FILE=FOLDER/config"], "fleet --profile no-such-profile"),
    (&["AWS_CONFIG_FILE=FOLDER/config"], "fleet --profile shop"),
    (
        &["AWS_ENDPOINT_URL=http://PROXY", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b"],
        "doctor --stack lambda-otlp",
    ),
    (&[], "subscribe --stack lambda-otlp"),
    (&[], "subscribe --destination shop --include /aws/lambda/shop"),
    (&[], "subscribe --include /aws/lambda/shop"),
    // An empty pattern does not select all log groups.
    (&[], "subscribe --destination=arn:aws:lambda:eu-west-1:123456789012:function:f --include "),
    (&[], "unsubscribe --destination=arn:aws:lambda:eu-west-1:123456789012:function:f --tag "),
    (&[], "instrument"),
    (&[], "instrument --function shop:3"),
    (&[], "instrument --function shop --layer arn:x"),
    (
        &[],
        "instrument --function shop --stack lambda-otlp --layer arn:aws:lambda:eu-west-1:123456789012:layer:lambda-otlp:1",
    ),
    (&[], "fleet --tag ="),
    (&[], "rules check no-such-file.toml"),
    (&[], "rules check wrong.toml"),
    (&[], "rules test empty.toml no-such-file"),
    (&[], "dev"),
    (&[], "dev --wrapper --handler index.handler"),
    (&[], "dev -- no-such-program"),
    (&[], "dev --wrapper -- cargo run"),
    (&["PATH=FOLDER"], "dev --runtime python --handler app.handler"),
    (&[], "dev --no-extension --user a:b -- /bin/true"),
    (&[], "tail"),
    (&[], "tail /aws/lambda/shop --since yesterday"),
    (&[], "redrive"),
    (&[], "replay /aws/lambda/shop --since 1h"),
    (&[], "dashboard install"),
    (&[], "dev -- ./nonexistent"),
    (&[], "dev -- ./shop.log"),
    (&[], "dev -- shop.log"),
    (&[], "dev -- ."),
    (&[], "dev --runtime python"),
    (&[], "dev --no-extension --layer no-such-folder -- /bin/true"),
    (&[], "dev --no-extension --env NO_SUCH_VARIABLE -- /bin/true"),
    (&[], "dev --no-extension --env =1 -- /bin/true"),
    (&[], "dev --no-extension --event no-such.json -- /bin/true"),
    (&[], "dev --no-extension --event broken.json -- /bin/true"),
    (&[], "dev --no-extension --client-context broken.json -- /bin/true"),
    (&[], "forward otlp.log broken.json --dry-run"),
    (&[], "forward empty.json --dry-run"),
    (&["LAMBDA_OTLP_ENDPOINT=http://127.0.0.1:9/api/default"], "forward shop.log"),
    (&[], "forward shop.log --endpoint http://127.0.0.1:9/api/default --stream"),
    (&[], "rules test wrong.toml shop.log"),
    (&[], "rules test empty.toml otlp.log broken.json"),
    (&[], "doctor --log-group /aws/lambda/shop"),
    (&[], "doctor --endpoint http://127.0.0.1:9/api/default --canary --within soon"),
    (&[], "doctor --stack lambda-otlp"),
    (&["AWS=http://127.0.0.1:9"], "doctor --stack lambda-otlp"),
    (&["AWS=http://AWS/UnrecognizedClientException"], "doctor --function forwarder"),
    (&["AWS=http://AWS/InvalidClientTokenId"], "doctor --stack lambda-otlp"),
    (&["AWS=http://AWS/ExpiredTokenException"], "doctor --function forwarder"),
    (&["AWS=http://AWS/AccessDeniedException"], "doctor --function forwarder"),
    (&["AWS=http://AWS/ResourceNotFoundException"], "doctor --function forwarder"),
    (&["AWS=http://AWS/SignatureDoesNotMatch"], "doctor --function forwarder"),
    (&["AWS=http://AWS/RequestExpired"], "doctor --stack lambda-otlp"),
    (&["AWS=http://AWS/TooManyRequestsException"], "doctor --function forwarder"),
    (&["AWS=http://AWS/ValidationError"], "doctor --stack lambda-otlp"),
    (
        &["AWS=http://AWS/ResourceNotFoundException"],
        "subscribe --destination arn:aws:lambda:eu-west-1:123456789012:function:f --include /aws/*",
    ),
    (
        &["AWS=http://AWS/ResourceNotFoundException"],
        "subscribe --destination arn:aws:lambda:us-east-1:123456789012:function:f --include /aws/*",
    ),
    (
        &["AWS=http://AWS/ResourceNotFoundException"],
        "unsubscribe --destination arn:aws:lambda:us-east-1:123456789012:function:f",
    ),
    (&["AWS=http://AWS/ValidationError"], "unsubscribe --stack lambda-otlp"),
    (&["AWS=http://AWS/ValidationError"], "replay /aws/lambda/shop --from 1h --stack lambda-otlp"),
    (&["AWS=http://127.0.0.1:9", "AWS_MAX_ATTEMPTS=5"], "fleet"),
    (&["AWS=http://127.0.0.1:9"], "uninstrument --function shop-*"),
    (&["AWS=http://PROXY"], "fleet"),
    (&["AWS=http://127.0.0.1:9", "HTTPS_PROXY=ftp://proxy"], "fleet"),
    (&["AWS=http://AWS/html"], "fleet"),
    (&["AWS=http://AWS/html"], "doctor --stack lambda-otlp"),
    (
        &["AWS=http://AWS/html"],
        "subscribe --destination arn:aws:lambda:eu-west-1:123456789012:function:f --include /aws/*",
    ),
    (
        &["AWS=http://AWS/empty"],
        "subscribe --destination arn:aws:lambda:eu-west-1:123456789012:function:f --include shop-py*",
    ),
    (
        &["AWS=http://AWS/empty"],
        "unsubscribe --destination arn:aws:lambda:eu-west-1:123456789012:function:f --include shop-py*",
    ),
    (
        &["AWS=http://AWS/empty"],
        "subscribe --destination arn:aws:lambda:eu-west-1:999999999999:function:f --include /aws/*",
    ),
    (
        &["AWS=http://127.0.0.1:9"],
        "subscribe --destination arn:aws:lambda:eu-west-1:123456789012:function:f --include /aws/*",
    ),
    (&["AWS=http://AWS/x"], "subscribe --stack lambda-otlp --include /aws/lambda/shop,a$b"),
    (&["AWS=http://AWS/x"], "subscribe --stack lambda-otlp --tag =shop"),
    (&[], "subscribe --stack lambda-otlp --include /aws/* --collect errors"),
    (
        &["AWS=http://AWS/x"],
        "redrive --from https://sqs.eu-west-1.amazonaws.com/1/a --to https://sqs.eu-west-1.amazonaws.com/1/a",
    ),
    (&["AWS=http://AWS/QueueDoesNotExist"], "redrive --from dead --to retry"),
    (&["AWS=http://AWS/NoSuchBucket/"], "redrive --bucket failed --to retry"),
    (&["AWS=http://AWS/AccessDeniedException"], "tail --log-group /aws/lambda/shop"),
    (&["AWS=http://127.0.0.1:9"], "tail --log-group /aws/lambda/shop"),
    (&[], "tail shop.log --log-group /aws/lambda/shop"),
    (&["AWS=http://AWS/x"], "replay /aws/lambda/shop --from 1h --to 2h --dry-run"),
    (&["AWS=http://AWS/x"], "replay /aws/lambda/shop --from 30m --checkpoint shop.log --dry-run"),
    (
        &["AWS=http://AWS/x"],
        "replay /aws/lambda/shop --from 30d --endpoint http://127.0.0.1:9/api/default",
    ),
    (&["AWS=http://AWS/ExpiredTokenException"], "replay /aws/lambda/shop --from 1h --dry-run"),
    (&[], "dashboards install"),
    (&[], "dashboards install --endpoint http://127.0.0.1:9/api/default --user a:b"),
    (&[], "dashboards install --endpoint http://127.0.0.1:9/otlp --user a:b"),
    (&[], "alerts install --endpoint http://127.0.0.1:9/api/default --user a:b"),
    (&[], "slos install --endpoint http://127.0.0.1:9/api/default --user a:b"),
    (&[], "slos install --notify pager --success 100"),
    (&[], "cost --invocations ten"),
    (&[], "completions tcsh"),
];

/// Answers `/CODE/…` with this error, in the form of the protocol.
async fn aws_error<B>(request: Request<B>) -> Response<Full<Bytes>> {
    let code = request.uri().path().split('/').nth(1).unwrap_or_default().to_owned();
    if code == "html" {
        return Response::new(Full::new(Bytes::from_static(b"<html>")));
    }
    if code == "empty" {
        return Response::new(Full::new(Bytes::from_static(of_empty_account(&request).as_bytes())));
    }
    let message = match code.as_str() {
        "AccessDeniedException" => "User: me is not authorized to perform: x on resource: y",
        "ExpiredTokenException" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
            "The security token included in the request is invalid"
        }
        "RequestExpired" => "Request has expired",
        "ValidationError" => "Stack with id lambda-otlp does not exist",
        _ => "as AWS says",
    };
    let is_json = request.headers().contains_key("x-amz-target")
        || request.uri().path().contains("/functions/");
    let status = if code.starts_with("TooMany") { 429 } else { 400 };
    let builder = Response::builder().status(status);
    let answer = if is_json {
        let body = serde_json::json!({ "__type": code, "message": message }).to_string();
        builder.header("x-amzn-errortype", code).body(body)
    } else if request.method() == http::Method::GET {
        builder.body(format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
    } else {
        builder.body(format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        ))
    };
    answer.unwrap().map(|body| Full::new(Bytes::from(body)))
}

/// Answers as an account with a forwarder, and without log groups and other functions.
fn of_empty_account<B>(request: &Request<B>) -> &'static str {
    let path = request.uri().path();
    if path.ends_with("/policy") {
        r#"{"Policy":"{\"Statement\":[{\"Principal\":{\"Service\":\"logs.amazonaws.com\"}}]}"}"#
    } else if path.contains("/functions/") {
        r#"{"FunctionName":"f"}"#
    } else if request.headers().contains_key("x-amz-target") {
        "{}"
    } else {
        "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn typical_mistakes_have_their_remedies() {
    let page = |_| async {
        let page = Response::builder().status(502).header("content-type", "text/html");
        page.body(Full::new(Bytes::from_static(b"<html>"))).unwrap()
    };
    let server = HttpServer::start(page).await.unwrap();
    let proxy = server.address().to_string();
    let aws_server = HttpServer::start(aws_error).await.unwrap();
    let aws = aws_server.address().to_string();
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("shop.log", "paid\n"),
        ("otlp.log", include_str!("../fixtures/lines/python-1.jsonl")),
        ("old.log", "2024-01-02T03:04:05.678Z 2024/01/02/[$LATEST]0123 paid\n"),
        ("broken.json", "{\"awslogs\":{\"data\":\"x\"}"),
        ("garbage.json", include_str!("../fixtures/events/awslogs-one-garbage.json")),
        ("config", "[profile shop]\nregion = eu-west-1\n"),
        ("empty.toml", ""),
        ("empty.json", ""),
        (
            "routes.toml",
            "[destination.audit]\nendpoint = \"https://audit.example.com\"\n[[route]]\nlog_group = \"*\"\nto = \"audit\"\n",
        ),
        ("wrong.toml", "[[drop]]\nlevell = \"debug\"\n"),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let python = folder.path().join("python3");
    std::fs::write(&python, "#!/bin/sh\necho /usr/bin/python3\necho 3.9\n").unwrap();
    std::fs::set_permissions(&python, PermissionsExt::from_mode(0o755)).unwrap();
    let mut said = String::new();
    for (variables, arguments) in MISTAKES {
        let set = |text: &str| {
            text.replace("PROXY", &proxy)
                .replace("http://AWS", &format!("http://{aws}"))
                .replace("FOLDER", folder.path().to_str().unwrap())
        };
        let mut command = Command::new(binary("lambda-otlp"));
        command.env_clear().current_dir(folder.path()).stdin(Stdio::null());
        command.envs([("HOME", "/nowhere"), ("AWS_EC2_METADATA_DISABLED", "true")]);
        command.envs([("AWS_REGION", "eu-west-1"), ("AWS_MAX_ATTEMPTS", "1")]);
        command.envs(variables.iter().map(|variable| {
            let (name, value) = variable.split_once('=').unwrap();
            (if name == "AWS" { "AWS_ENDPOINT_URL" } else { name }, set(value))
        }));
        if variables.iter().any(|variable| variable.starts_with("AWS=")) {
            command.envs([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]);
        }
        let output = command.args(set(arguments).split(' ')).output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let text =
            String::from_utf8(printed).unwrap().replace(&proxy, "PROXY").replace(&aws, "AWS");
        let command_line = [&variables[..], &["lambda-otlp", arguments]].concat().join(" ");
        let code = output.status.code().unwrap();
        writeln!(said, "$ {command_line}\n{}\n[{code}]\n", text.trim_end()).unwrap();
        assert_ne!(code, 101, "{said}");
    }
    expect_file!["mistakes.txt"].assert_eq(&said);
}
