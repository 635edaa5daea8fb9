//! Knows which invocation a log stream is in, and what its lines told of it, for lines that do not say it themselves.

use crate::event::{EventKind, PlatformEvent};
use crate::identity::Identity;
use crate::logs::told::{Facts, Told};

/// The invocation that a log stream is in. Lines between `START` and `END` that have no request id of their own belong to
/// it. This is best effort: a delivery may begin in the middle of an invocation, and then its first lines belong to none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RequestWindow {
    request_id: Option<String>,
    /// The invocation that something was told of last, and what.
    told: Option<Box<(String, Told)>>,
    /// Account and name of this stream's function, whose executions its lines may name.
    function: Option<(String, String)>,
    /// Whether something was told that nobody has taken note of.
    has_news: bool,
}

impl RequestWindow {
    /// The invocation that is running, as far as is known.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Whose stream it is, as the envelope says.
    pub(crate) fn set_function(&mut self, identity: &Identity) {
        let Identity { account, function_name, .. } = identity;
        self.function = account.clone().zip(function_name.clone());
    }

    /// The state for the next chunk, which is told whose stream it is.
    pub(crate) fn forget_function(&mut self) {
        self.function = None;
    }

    /// What may stand on other records than that of the line that says it: whoever gets a line of JSON into the log must not be able
    /// to move the records around it to another function's execution, nor to a tenant, which Lambda's own lines tell.
    pub(crate) fn believed<'f>(&self, facts: Facts<'f>) -> Facts<'f> {
        let is_ours = |arn: &&str| self.function.as_ref().is_some_and(|own| is_of(arn, own));
        Facts {
            tenant_id: None,
            durable_execution_arn: facts.durable_execution_arn.filter(is_ours),
        }
    }

    /// Whether anything was told; of most functions nothing is.
    #[inline]
    pub(crate) fn has_told(&self) -> bool {
        self.told.is_some()
    }

    /// What is known of this invocation beside its id.
    pub(crate) fn told(&self, request_id: Option<&str>) -> Facts<'_> {
        match &self.told {
            Some(told) if Some(told.0.as_str()) == request_id => told.1.facts(),
            _ => Facts::default(),
        }
    }

    /// Takes note of what a line tells of its invocation. What was told of another one is forgotten: a stream has one after the
    /// other, and where a managed instance has several, each line says it.
    pub(crate) fn tell(&mut self, request_id: &str, facts: Facts<'_>) {
        if facts == Facts::default() {
            return;
        }
        let told = self.told.get_or_insert_default();
        if told.0 != request_id {
            **told = (request_id.to_owned(), Told::default());
        }
        self.has_news |= told.1.add(facts);
    }

    /// What was told last, and of which invocation.
    pub(crate) fn last_told(&self) -> Option<(String, Told)> {
        self.told.as_deref().cloned()
    }

    /// What was told since the last call, if anything was, and of which invocation.
    #[inline]
    pub(crate) fn take_news(&mut self) -> Option<(String, Told)> {
        std::mem::take(&mut self.has_news).then(|| self.last_told())?
    }

    /// Takes note of what Lambda says.
    pub(crate) fn observe(&mut self, event: &PlatformEvent) {
        match event.kind {
            EventKind::Start => self.request_id.clone_from(&event.request_id),
            // An end of another one is no end of this: a function can print it.
            EventKind::End | EventKind::Report if event.request_id == self.request_id => {
                self.request_id = None;
            }
            _ => {}
        }
    }
}

/// Whether an ARN is that of an execution of this function: `arn:{partition}:lambda:{region}:{account}:function:{name}:…`.
fn is_of(arn: &str, (account, name): &(String, String)) -> bool {
    let parts: Vec<&str> = arn.splitn(8, ':').collect();
    matches!(
        parts.as_slice(),
        ["arn", _, "lambda", _, of_account, "function", of_name, _]
            if of_account == account && of_name == name
    )
}
