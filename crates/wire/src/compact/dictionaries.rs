//! Users' own dictionaries.

use super::dictionary::{OwnDictionary, ToRead};

/// The dictionaries of a reader's user, beside the standard ones. They live as long as the process.
#[derive(Debug, Default)]
pub struct Dictionaries(Vec<(u8, ToRead)>);

impl Dictionaries {
    /// Adds a dictionary.
    ///
    /// # Errors
    /// Another dictionary has its number.
    pub fn add(&mut self, own: OwnDictionary) -> Result<(), &'static str> {
        if self.get(own.number).is_some() {
            return Err("another dictionary has this number");
        }
        self.0.push((own.number, ToRead::of_file(own.file)));
        Ok(())
    }

    pub(super) fn get(&self, number: u8) -> Option<&ToRead> {
        self.0.iter().find(|(own, _)| *own == number).map(|(_, dictionary)| dictionary)
    }
}
