//! Names that both the function and the reader of its log know, so that a line need not repeat them.

/// The names of a function that its log stream's delivery states. An empty name is unknown.
///
/// Writer and reader must derive them in the same way, or the line does not decode: the function's name from the log group
/// (`/aws/lambda/NAME`) or else from the log stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context<'a> {
    pub function: &'a str,
    /// The account's 12 digits.
    pub account: &'a str,
    pub log_stream: &'a str,
    /// The region. Only a writer needs it: the line says which one it is.
    pub region: &'a str,
}

/// A context that owns its names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedContext {
    function: String,
    account: String,
    log_stream: String,
    region: String,
}

impl OwnedContext {
    /// The names of a function that writes to this log group and log stream. A function whose log group has another name than
    /// Lambda's default does not use its name.
    pub fn of_function(function: &str, region: &str, log_group: &str, log_stream: &str) -> Self {
        let is_default = log_group.strip_prefix("/aws/lambda/") == Some(function);
        Self {
            function: if is_default { function.to_owned() } else { String::new() },
            account: String::new(),
            log_stream: log_stream.to_owned(),
            region: region.to_owned(),
        }
    }

    #[must_use]
    pub fn with_account(mut self, account: &str) -> Self {
        self.set_account(account);
        self
    }

    /// Replaces the account, without an allocation if it is the same.
    pub(crate) fn set_account(&mut self, account: &str) {
        account.clone_into(&mut self.account);
    }

    pub fn context(&self) -> Context<'_> {
        let Self { function, account, log_stream, region } = self;
        Context { function, account, log_stream, region }
    }
}

/// The names of its context that a line uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UsedNames(u8);

impl UsedNames {
    pub(super) const FUNCTION: Self = Self(1);
    pub(super) const ACCOUNT: Self = Self(2);
    pub(super) const LOG_STREAM: Self = Self(4);
    pub(super) const REGION: Self = Self(8);
    /// The names that the line does not contain, so that it has a check of them.
    pub(super) const CHECKED: Self = Self(1 | 2 | 4);
    const ALL: Self = Self(1 | 2 | 4 | 8);

    pub(super) fn bits(self) -> u8 {
        self.0
    }

    /// Reads the lower four bits.
    pub(super) fn of_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    pub(super) fn add(&mut self, name: Self) {
        self.0 |= name.0;
    }

    /// Returns `true` if one of these names is used.
    pub(super) fn has(self, names: Self) -> bool {
        self.0 & names.0 != 0
    }

    /// The used names that have a check, as in `function or account`.
    pub(super) fn to_words(self) -> String {
        let words = [
            (Self::FUNCTION, "function"),
            (Self::ACCOUNT, "account"),
            (Self::LOG_STREAM, "log stream"),
        ];
        let used = words.into_iter().filter(|(name, _)| self.has(*name));
        used.map(|(_, word)| word).collect::<Vec<_>>().join(" or ")
    }
}

impl<'a> Context<'a> {
    /// The context with these names only, and without a region.
    pub(super) fn only(&self, used: UsedNames) -> Self {
        let if_used = |name, text: &'a str| if used.has(name) { text } else { "" };
        Self {
            function: if_used(UsedNames::FUNCTION, self.function),
            account: if_used(UsedNames::ACCOUNT, self.account),
            log_stream: if_used(UsedNames::LOG_STREAM, self.log_stream),
            region: "",
        }
    }

    /// Returns the check of the names that a line uses.
    pub(super) fn check(&self, used: UsedNames) -> [u8; 2] {
        let mut hasher = crc32fast::Hasher::new();
        let names = [
            (UsedNames::FUNCTION, self.function),
            (UsedNames::ACCOUNT, self.account),
            (UsedNames::LOG_STREAM, self.log_stream),
        ];
        for (name, text) in names {
            if used.has(name) {
                hasher.update(text.as_bytes());
            }
            hasher.update(&[0]);
        }
        low_bytes(hasher.finalize())
    }
}

/// The two bytes of a checksum that a line has.
pub(super) fn low_bytes(crc: u32) -> [u8; 2] {
    let [a, b, ..] = crc.to_le_bytes();
    [a, b]
}

/// The number of a region, by which a line names it.
pub(super) fn number_of_region(name: &str) -> Option<u8> {
    let number = REGIONS.iter().position(|region| *region == name)?;
    u8::try_from(number).ok()
}

/// Regions by number. Regions may be added at the end, never moved.
pub(super) const REGIONS: [&str; 38] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ca-central-1",
    "ca-west-1",
    "eu-central-1",
    "eu-central-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-gov-east-1",
    "us-gov-west-1",
    "cn-north-1",
    "cn-northwest-1",
];
