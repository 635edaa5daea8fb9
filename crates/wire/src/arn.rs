//! Amazon Resource Names.

/// The parts of `arn:{partition}:{service}:{region}:{account}:{resource}` (AWS General Reference, "Amazon Resource Names").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    pub partition: &'a str,
    pub service: &'a str,
    /// Empty for resources of all regions.
    pub region: &'a str,
    /// The owner's account as it stands there; [`Self::account_id`] checks it.
    pub account: &'a str,
    /// Starts with the kind of the resource, if its service has several: `function:orders:live`, `stream/orders`.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix("arn:")?.splitn(5, ':');
        Some(Self {
            partition: parts.next()?,
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        })
    }

    /// The account, if it is the id of one: twelve digits.
    pub fn account_id(&self) -> Option<&'a str> {
        let is_id =
            self.account.len() == 12 && self.account.bytes().all(|byte| byte.is_ascii_digit());
        is_id.then_some(self.account)
    }

    /// The name of a function, with the version or alias that the ARN names.
    pub fn function(&self) -> Option<FunctionName<'a>> {
        let text = self.resource.strip_prefix("function:").filter(|_| self.service == "lambda")?;
        let (name, qualifier) = match text.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (text, None),
        };
        (!name.is_empty()).then_some(FunctionName { name, qualifier })
    }

    /// The ARN of a function with its running version in place of an alias, which may later lead to another version. `None` if
    /// the ARN names no alias.
    pub fn with_version(&self, version: &str) -> Option<String> {
        self.function()?.qualifier?;
        Some(format!("{}:{version}", self.unqualified()?))
    }

    /// The ARN of a function without its version or alias.
    pub fn unqualified(&self) -> Option<String> {
        let Self { partition, service, region, account, .. } = self;
        let FunctionName { name, .. } = self.function()?;
        Some(format!("arn:{partition}:{service}:{region}:{account}:function:{name}"))
    }

    /// Returns `true` if both ARNs name the same function, in any version or alias.
    pub fn is_same_function(&self, other: &Self) -> bool {
        let name = |arn: &Self| arn.function().map(|function| function.name);
        let place = |arn: &Self| [arn.partition, arn.region, arn.account];
        name(self).is_some() && name(self) == name(other) && place(self) == place(other)
    }
}

/// The function in an ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionName<'a> {
    pub name: &'a str,
    /// The version or alias. The ARN of a durable execution has further parts after it.
    pub qualifier: Option<&'a str>,
}

/// The account's id in an ARN.
pub fn account_id(arn: &str) -> Option<&str> {
    Arn::parse(arn)?.account_id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_has_six_parts() {
        let arn = Arn::parse("arn:aws:kinesis:eu-west-1:123456789012:stream/orders").unwrap();
        assert_eq!(arn.service, "kinesis");
        assert_eq!(arn.region, "eu-west-1");
        assert_eq!(arn.account_id(), Some("123456789012"));
        assert_eq!(arn.resource, "stream/orders");
        assert_eq!(arn.function(), None);
        for other in
            ["", "arn:", "arn:aws:kinesis:eu-west-1:123456789012", "orders", "ARN:a:b:c:d:e"]
        {
            assert_eq!(Arn::parse(other), None, "{other}");
        }
    }

    #[test]
    fn an_account_has_twelve_digits() {
        for (account, expected) in [
            ("123456789012", true),
            ("aws", false),
            ("", false),
            ("12345678901", false),
            ("12345678901x", false),
        ] {
            let arn = format!("arn:aws:lambda:eu-west-1:{account}:layer:insights");
            assert_eq!(account_id(&arn), expected.then_some(account));
        }
    }

    #[test]
    fn functions_are_the_same_in_any_version() {
        let parse = |text| Arn::parse(text).unwrap();
        let live = parse("arn:aws:lambda:eu-west-1:123456789012:function:orders:live");
        assert_eq!(live.function(), Some(FunctionName { name: "orders", qualifier: Some("live") }));
        let plain = parse("arn:aws:lambda:eu-west-1:123456789012:function:orders");
        assert!(live.is_same_function(&plain));
        for other in [
            "arn:aws:lambda:eu-west-1:123456789012:function:order",
            "arn:aws:lambda:eu-west-2:123456789012:function:orders",
            "arn:aws:lambda:eu-west-1:123456789013:function:orders",
            "arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
        ] {
            assert!(!live.is_same_function(&parse(other)), "{other}");
        }
        assert_eq!(
            live.with_version("7").unwrap(),
            "arn:aws:lambda:eu-west-1:123456789012:function:orders:7"
        );
        assert_eq!(plain.with_version("7"), None);
        let stream = parse("arn:aws:kinesis:eu-west-1:123456789012:stream/orders");
        assert!(!stream.is_same_function(&stream));
    }
}
