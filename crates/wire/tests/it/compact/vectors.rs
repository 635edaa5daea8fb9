//! Test vectors for other implementations.

use super::{CONTEXT, TELEMETRY, request_of, requests};
use lambda_otlp_wire::compact::Encoder;

/// These requests of [`CONTEXT`]'s function have this content.
#[test]
fn known_requests_encode_to_fixed_content() {
    let check = |dictionary: u8, json: &str, expected: &str| {
        let request = request_of(json);
        let mut encoder = Encoder::new(dictionary);
        let content = encoder.text(&CONTEXT, &[&request]);
        assert_eq!(content, expected);
        assert_eq!(requests(&content), Ok(vec![request]));
    };
    check(
        0,
        TELEMETRY,
        "#!3Kh,s,I$Xhl[0mh#s9=4dpcUa%k*rzCAA/D#@`^^Q._D%?i91{z&hIk/G@#O*%Z!I4{R-mSqAwCH9sV,%WC9Mpsqhf:Fy?oG.efvM1wR3m`wE7NbGoysOKrOA@}*P>N!;|+-!PvkI#`96HLZsrGT&sfx(|p6Qbrv#~DzPSKjE{Pr91XQx-]Ucp/+iwAEFUNm(iGE#",
    );
    check(
        1,
        TELEMETRY,
        "o$7KR;@:_B61`!7>*tP`Z1yU(O-^jLik5|#Xd}LU^Px&O70dE%YU}+r-H>w&j6%L~}=ck8d%U(Wux(BU_sd}h:Nt_iZ5)vg-RTD(b",
    );
    let metrics = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"load","gauge":{"dataPoints":[{"timeUnixNano":"1790000000000000000","asDouble":-0.25},{"timeUnixNano":"1790000001000000000","asInt":"-7"},{"timeUnixNano":"1790000002000000000","asDouble":-0.0}]}}]}]}]}"#;
    check(0, metrics, "H#eXYjH0zt59Z1uDD/D9}Q#[;!@iz3p*F47&!!!~[w>$)#V(*PF#!!!!!!!!0me#");
    let histogram = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"wait","histogram":{"dataPoints":[{"timeUnixNano":"1790000000000000000","count":"1","sum":71.5,"bucketCounts":["0","1"],"explicitBounds":[750],"min":71.5,"max":71.5}]}},{"name":"wait","histogram":{"dataPoints":[{"timeUnixNano":"1790000000000000000","count":"1","sum":72.5,"bucketCounts":["0","1"],"explicitBounds":[750],"min":72.5,"max":72.5}]}}]}]}]}"#;
    check(0, histogram, "H#eXYjH0nW?470vrC/D9}Qa`h|J6>4amUTB{$M`tus!yxxg+kge084%!q}qIL5Nk(!8LtFK!");
    let span = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"1790000000000000000","endTimeUnixNano":"1790000000001000000","attributes":[{"key":"busy_ns","value":{"intValue":"300000"}},{"key":"idle_ns","value":{"intValue":"700001"}},{"key":"aws.request_id","value":{"stringValue":"0123456789ABCDEFGHIJKLMNOPVV4KQNSO5AEMVJF66Q9ASUAAJG"}}]}]}]}]}"#;
    check(
        0,
        span,
        "H#d+ZjH0vO&jRKP_PiMT7D}+t|&Z!>S>}gKO<GHkZ`7]{*S5Qi8S%GU+A1R_zQ5i`P5&Hg>-Zv347e#lPP%LRJ=-vuvL*P!!#~nz1Q&!R@w$iXZ4h!dK.I-0qH(vLT{>F:&&",
    );
    let logs = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1790000000123000000","severityNumber":9,"body":{"stringValue":"orders-api in eu-west-1: 10.0.0.255, 0123456789, DEADBEEF0123456789AB,\u0001 1-5b8efff7-98038103d269b633813fc60c"},"traceId":"5b8efff798038103d269b633813fc60c"}]}]}]}"#;
    check(
        0,
        logs,
        "Q#S;{ezF_4DS,[5iBA2yc.iMg(WW}oU](#3,8pI^!5$R5Lgg~(54b?P`<F(#p#kg-$)!A)EenmI1!!a}h-rpF{Ocy!Q@gVv9bp$tFx87cgA<2l35]|I4eIJ#",
    );
}
