//! Users' own dictionaries.

use super::dictionary::{self, ToRead};

/// The dictionaries of a reader's user, beside the standard ones. They live as long as the process.
#[derive(Debug, Default)]
pub struct Dictionaries(Vec<(u8, ToRead)>);

impl Dictionaries {
    /// Adds the file of a dictionary, whose name states its number.
    ///
    /// # Errors
    /// The reason for refusing the file.
    pub fn add(&mut self, file_name: &str, file: Vec<u8>) -> Result<(), &'static str> {
        let number = dictionary::own_number(file_name)
            .ok_or("a dictionary is named dictionary-N.bin, with a number from 64 to 127")?;
        if self.get(number).is_some() {
            return Err("another dictionary has this number");
        }
        let dictionary = ToRead::of_file(file.leak());
        let is_complete =
            dictionary.text.len() <= dictionary::MOST_TEXT_BYTES && !dictionary.header.is_empty();
        if !is_complete {
            return Err("it does not hold the codes and at most 32 KiB of text of a dictionary");
        }
        self.0.push((number, dictionary));
        Ok(())
    }

    /// Returns `true` if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, number: u8) -> Option<&ToRead> {
        self.0.iter().find(|(own, _)| *own == number).map(|(_, dictionary)| dictionary)
    }
}
