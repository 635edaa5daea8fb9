//! Things that people made, each in a folder of an organization.

/// One of them. Its id is its own within its organization.
#[derive(Debug)]
pub(super) struct Made<T> {
    pub(super) organization: String,
    pub(super) folder: String,
    pub(super) id: String,
    pub(super) content: T,
}

/// All of one kind, in the order in which they were made.
#[derive(Debug)]
pub(super) struct Kept<T>(Vec<Made<T>>);

// By hand: the derived one would ask for a `T` that has a default.
impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Kept<T> {
    pub(super) fn of(&self, organization: &str, folder: &str) -> impl Iterator<Item = &Made<T>> {
        self.0.iter().filter(move |made| made.organization == organization && made.folder == folder)
    }

    pub(super) fn get(&self, organization: &str, id: &str) -> Option<&Made<T>> {
        self.0.iter().find(|made| made.organization == organization && made.id == id)
    }

    pub(super) fn get_mut(&mut self, organization: &str, id: &str) -> Option<&mut Made<T>> {
        self.0.iter_mut().find(|made| made.organization == organization && made.id == id)
    }

    pub(super) fn add(&mut self, made: Made<T>) {
        self.0.push(made);
    }

    /// Returns `true` if it was there.
    pub(super) fn remove(&mut self, organization: &str, id: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|made| !(made.organization == organization && made.id == id));
        self.0.len() < before
    }
}
