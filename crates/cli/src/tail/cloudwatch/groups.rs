//! Finds the log groups to follow.

use super::Asked;
use crate::aws::{explain, no_log_group};
use anyhow::{Context as _, bail};
use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::LogGroup;
use regex::Regex;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    /// Without the suffix `:*`.
    pub(super) arn: String,
    pub(super) account: String,
}

/// Returns the selected log groups. Fails if a pattern or the stack has none.
pub(super) async fn resolve(
    aws: &SdkConfig,
    client: &Client,
    asked: &Asked,
) -> anyhow::Result<Vec<Group>> {
    let mut groups = BTreeMap::new();
    for pattern in &asked.patterns {
        let found = matching(client, pattern).await?;
        if found.is_empty() {
            let missing = no_log_group(aws, pattern).await;
            bail!("{missing}; `*` stands for any characters, as in '*shop*'");
        }
        groups.extend(found.into_iter().map(|group| (group.name.clone(), group)));
    }
    if let Some(stack) = &asked.stack {
        let names = names_of_stack(aws, stack).await?;
        let mut missing = Vec::new();
        for name in names {
            let found = matching(client, &name).await?;
            if found.is_empty() {
                missing.push(name.clone());
            }
            groups.extend(found.into_iter().map(|group| (group.name.clone(), group)));
        }
        // Lambda creates a function's log group at its first invocation.
        if !missing.is_empty() {
            eprintln!("does not exist yet, and is not followed: {}", missing.join(", "));
        }
        if groups.is_empty() {
            bail!("stack {stack} has no function with a log group: invoke one first");
        }
    }
    Ok(groups.into_values().collect())
}

/// Returns the groups whose names match; without a `*`, the group with this name.
async fn matching(client: &Client, pattern: &str) -> anyhow::Result<Vec<Group>> {
    let is_meant = matcher(pattern)?;
    let prefix = pattern.split('*').next().filter(|prefix| !prefix.is_empty());
    let mut pages = client
        .describe_log_groups()
        .set_log_group_name_prefix(prefix.map(str::to_owned))
        .into_paginator()
        .send();
    let mut groups = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| explain(&error)).context("cannot list log groups")?;
        let found = page.log_groups.unwrap_or_default();
        groups.extend(found.into_iter().filter_map(group).filter(|g| is_meant.is_match(&g.name)));
    }
    Ok(groups)
}

/// Compiles a pattern in which `*` matches any characters.
fn matcher(pattern: &str) -> anyhow::Result<Regex> {
    let parts: Vec<String> = pattern.split('*').map(regex::escape).collect();
    Ok(Regex::new(&format!("^{}$", parts.join(".*")))?)
}

fn group(group: LogGroup) -> Option<Group> {
    let name = group.log_group_name?;
    let arn = group.arn.unwrap_or_default();
    // arn:aws:logs:{region}:{account}:log-group:{name}:*
    let account = arn.split(':').nth(4).unwrap_or_default().to_owned();
    Some(Group { name, arn: arn.trim_end_matches(":*").to_owned(), account })
}

/// Returns the log groups of a stack and of its nested stacks, including those of its functions.
async fn names_of_stack(aws: &SdkConfig, stack: &str) -> anyhow::Result<Vec<String>> {
    let client = aws_sdk_cloudformation::Client::new(aws);
    let mut names = Vec::new();
    let mut stacks = vec![stack.to_owned()];
    while let Some(stack) = stacks.pop() {
        let mut pages = client.list_stack_resources().stack_name(&stack).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| explain(&error));
            let page =
                page.with_context(|| format!("cannot list the resources of stack {stack}"))?;
            for resource in page.stack_resource_summaries.unwrap_or_default() {
                let Some(id) = resource.physical_resource_id else { continue };
                match resource.resource_type.as_deref() {
                    Some("AWS::Lambda::Function") => names.push(format!("/aws/lambda/{id}")),
                    Some("AWS::Logs::LogGroup") => names.push(id),
                    Some("AWS::CloudFormation::Stack") => stacks.push(id),
                    _ => {}
                }
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_characters() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(matcher(pattern).unwrap().is_match(name), expected, "{pattern} {name}");
        };
        check("/aws/lambda/shop", "/aws/lambda/shop", true);
        check("/aws/lambda/shop", "/aws/lambda/shop-2", false);
        check("/aws/lambda/shop-*", "/aws/lambda/shop-2", true);
        check("*shop*", "/aws/lambda/eshop-2", true);
        check("*", "anything", true);
        check("/a.b*", "/axb", false);
    }
}
