//! Lambda's prices in us-east-1, in USD.
//!
//! Source: AWS Lambda pricing.

/// Price of a GB-second on arm64, in the first tier.
pub const GB_SECOND: f64 = 0.000_013_333_4;

/// Price of a request to Lambda.
pub const REQUEST: f64 = 0.20 / 1e6;
