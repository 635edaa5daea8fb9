//! Rebuilds requests from a skeleton and its holes.

use super::codes::{self, END, OTHER_FORM, RAW_FIELD};
use super::context::Context;
use super::decode::CompactError;
use super::history::{History, RecentValues, Unit};
use crate::protobuf::{begin_delimited, end_delimited, push_tag, push_varint};
use crate::request::{Request, UncheckedRequest};
use crate::schema::{self, Kind, Message, Presence};
use crate::signal::SignalKind;

/// More than a writer nests.
const DEEPEST: usize = 100;

type Result<T> = std::result::Result<T, CompactError>;

/// The unread rest of a skeleton and its holes.
pub(super) struct Rebuilder<'p> {
    pub(super) skeleton: Bytes<'p>,
    pub(super) holes: Bytes<'p>,
    pub(super) context: Context<'p>,
    pub(super) history: History,
    /// The skeletons of recent items.
    items: RecentValues<&'p [u8]>,
    /// The current request.
    pub(super) out: Vec<u8>,
    /// Bytes that the requests may still have.
    pub(super) bytes_left: usize,
    /// Bytes of skeletons that were read again.
    repeated_bytes: usize,
    /// Bytes of the complete requests.
    written: usize,
}

/// Bytes of skeletons that may be read again without any bytes of a request.
const MAX_REPEATED_FOR_NOTHING: usize = 4096;

impl<'p> Rebuilder<'p> {
    pub(super) fn new(
        skeleton: &'p [u8],
        holes: &'p [u8],
        context: Context<'p>,
        unit: Unit,
        max_bytes: usize,
    ) -> Self {
        Self {
            skeleton: Bytes(skeleton),
            holes: Bytes(holes),
            context,
            history: History::new(unit),
            items: RecentValues::default(),
            out: Vec::new(),
            bytes_left: max_bytes,
            repeated_bytes: 0,
            written: 0,
        }
    }

    /// Counts a skeleton that is read again. Most codes write at least a byte, and a number at least half of its code. So only a
    /// line that was made to keep its reader busy repeats more.
    fn repeat(&mut self, skeleton: &[u8]) -> Result<()> {
        self.repeated_bytes += skeleton.len();
        let written = self.written + self.out.len();
        let most = written.saturating_mul(4).saturating_add(MAX_REPEATED_FOR_NOTHING);
        if self.repeated_bytes > most { Err(CompactError::Corrupt) } else { Ok(()) }
    }

    pub(super) fn requests(&mut self) -> Result<Vec<UncheckedRequest>> {
        let mut requests = Vec::new();
        while let Ok(code) = self.skeleton.byte() {
            let is_signal = |kind: &SignalKind| codes::signal_number(*kind) == code & !OTHER_FORM;
            let kind = SignalKind::ALL.into_iter().find(is_signal).ok_or(CompactError::Corrupt)?;
            let result = if code & OTHER_FORM != 0 {
                self.skeleton.sized().map(|bytes| self.out.extend_from_slice(bytes))
            } else {
                self.message(schema::request(kind), DEEPEST)
            };
            let bytes = std::mem::take(&mut self.out);
            self.written += bytes.len();
            let left = self.bytes_left.checked_sub(bytes.len() + Request::BYTES_BESIDE);
            self.bytes_left = left.unwrap_or(0);
            result?;
            left.ok_or(CompactError::TooLarge)?;
            requests.push(UncheckedRequest { kind, bytes });
        }
        Ok(requests)
    }

    pub(super) fn check_size(&self) -> Result<()> {
        if self.out.len() > self.bytes_left { Err(CompactError::TooLarge) } else { Ok(()) }
    }

    fn message(&mut self, message: &'static Message, depth_left: usize) -> Result<()> {
        let depth_left = depth_left.checked_sub(1).ok_or(CompactError::Corrupt)?;
        loop {
            match self.skeleton.byte()? {
                END => return Ok(()),
                RAW_FIELD => self.out.extend_from_slice(self.skeleton.sized()?),
                code => self.field(message, code, depth_left)?,
            }
            self.check_size()?;
        }
    }

    fn field(&mut self, message: &'static Message, code: u8, depth_left: usize) -> Result<()> {
        let number = u32::from(code & !OTHER_FORM);
        let is_other_form = code & OTHER_FORM != 0;
        let known = message.field(number).ok_or(CompactError::Corrupt)?;
        let Kind::Message(inner) = known.kind else {
            if !is_other_form {
                return self.scalar(number, known.kind);
            }
            if known.presence != Presence::Repeated {
                return Err(CompactError::Corrupt);
            }
            return self.delimited(number, |this| this.packed(known.kind));
        };
        self.delimited(number, |this| {
            if schema::is_item(inner) {
                this.item(inner, is_other_form, depth_left)
            } else if schema::is_key_value(inner) && !is_other_form {
                this.attribute(depth_left)
            } else {
                this.message(inner, depth_left)
            }
        })
    }

    /// A field whose content `rebuild` appends.
    #[inline]
    fn delimited(
        &mut self,
        number: u32,
        rebuild: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let content_at = begin_delimited(&mut self.out, number);
        rebuild(self)?;
        end_delimited(&mut self.out, content_at);
        Ok(())
    }

    /// A span, a log record or a metric, maybe with the skeleton of a recent one.
    fn item(
        &mut self,
        message: &'static Message,
        is_recent: bool,
        depth_left: usize,
    ) -> Result<()> {
        if is_recent {
            let rank = self.skeleton.byte()?;
            let item = self.items.use_rank(rank).ok_or(CompactError::Corrupt)?;
            self.repeat(item)?;
            let rest = std::mem::replace(&mut self.skeleton, Bytes(item));
            self.message(message, depth_left)?;
            self.skeleton = rest;
        } else {
            let from_item = self.skeleton.unread();
            self.message(message, depth_left)?;
            let item_bytes = from_item.len() - self.skeleton.unread().len();
            self.items.push(from_item.get(..item_bytes).unwrap_or_default());
        }
        Ok(())
    }

    fn attribute(&mut self, depth_left: usize) -> Result<()> {
        self.delimited(1, Self::text)?;
        self.delimited(2, |this| {
            let code = this.skeleton.byte()?;
            this.field(schema::any_value(), code, depth_left)
        })
    }

    fn scalar(&mut self, number: u32, kind: Kind) -> Result<()> {
        match kind {
            Kind::String => self.delimited(number, Self::text),
            Kind::Id => self.delimited(number, Self::id),
            Kind::Bytes => self.delimited(number, |this| {
                let length = this.skeleton.varint()?;
                this.out.extend_from_slice(this.holes.take(length)?);
                Ok(())
            }),
            Kind::Fixed32 => {
                let value = u32::try_from(self.number()?).map_err(|_| CompactError::Corrupt)?;
                push_tag(&mut self.out, number, 5);
                self.out.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => {
                push_tag(&mut self.out, number, 1);
                self.word(kind)
            }
            _ => {
                push_tag(&mut self.out, number, 0);
                let value = self.number()?;
                push_varint(&mut self.out, value);
                Ok(())
            }
        }
    }

    fn word(&mut self, kind: Kind) -> Result<()> {
        let value = if matches!(kind, Kind::Double) { self.double()? } else { self.number()? };
        self.out.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn packed(&mut self, kind: Kind) -> Result<()> {
        // Each value has a byte in the skeleton, so that a wrong count ends with it.
        for _ in 0..self.skeleton.varint()? {
            match kind {
                Kind::Double | Kind::Fixed64 => self.word(kind)?,
                Kind::Uint64 => {
                    let value = self.number()?;
                    push_varint(&mut self.out, value);
                }
                _ => return Err(CompactError::Corrupt),
            }
            self.check_size()?;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<u64> {
        use codes::number::{EIGHT_BYTES, HOLE, INLINE, NEGATIVE, REST, SAME, TIME};
        Ok(match self.skeleton.byte()? {
            value @ 0..INLINE => u64::from(value),
            INLINE => self.skeleton.long_varint()?,
            HOLE => {
                self.history.number = self.holes.long_varint()?;
                self.history.number
            }
            NEGATIVE => !self.holes.long_varint()?,
            TIME => {
                let difference = self.difference()?;
                self.history.next_time(difference)
            }
            SAME => self.history.number,
            REST => {
                let difference = self.difference()?;
                self.history.rest().wrapping_add_signed(difference)
            }
            EIGHT_BYTES => u64::from_le_bytes(self.holes.array()?),
            _ => return Err(CompactError::Corrupt),
        })
    }

    fn difference(&mut self) -> Result<i64> {
        let zigzag = self.holes.long_varint()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    fn double(&mut self) -> Result<u64> {
        use codes::double::{BITS, MAX_PLACES};
        match self.skeleton.byte()? {
            places @ 0..=MAX_PLACES => {
                Ok(codes::decimal(self.number()?.cast_signed(), places).to_bits())
            }
            BITS => Ok(u64::from_le_bytes(self.holes.array()?)),
            _ => Err(CompactError::Corrupt),
        }
    }

    pub(super) fn id(&mut self) -> Result<()> {
        use codes::id::{NEAR, NEW_8, NEW_16, NEXT, OTHER_LENGTH, RECENT_16};
        let code = self.skeleton.byte()?;
        let short = match code {
            0..RECENT_16 => self.history.short.use_rank(code).ok_or(CompactError::Corrupt)?,
            NEW_8 => {
                let id = u64::from_be_bytes(self.holes.array()?);
                self.history.note_new_id(id);
                id
            }
            NEXT => self.history.next_id(1),
            NEAR => {
                let difference = self.difference()?;
                self.history.next_id(difference)
            }
            RECENT_16..NEW_8 => {
                let id =
                    self.history.long.use_rank(code - RECENT_16).ok_or(CompactError::Corrupt)?;
                self.out.extend_from_slice(&id.to_be_bytes());
                return Ok(());
            }
            NEW_16 => {
                let id = self.holes.array()?;
                self.history.long.push(u128::from_be_bytes(id));
                self.out.extend_from_slice(&id);
                return Ok(());
            }
            OTHER_LENGTH => {
                let length = self.skeleton.varint()?;
                self.out.extend_from_slice(self.holes.take(length)?);
                return Ok(());
            }
            _ => return Err(CompactError::Corrupt),
        };
        self.out.extend_from_slice(&short.to_be_bytes());
        Ok(())
    }
}

/// Bytes that are read from their beginning.
pub(super) struct Bytes<'p>(pub(super) &'p [u8]);

impl<'p> Bytes<'p> {
    pub(super) fn unread(&self) -> &'p [u8] {
        self.0
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'p [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CompactError::Corrupt)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(CompactError::Corrupt)?;
        self.0 = rest;
        Ok(*taken)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8> {
        let (byte, rest) = self.0.split_first().ok_or(CompactError::Corrupt)?;
        self.0 = rest;
        Ok(*byte)
    }

    pub(super) fn long_varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // Writers use the shortest form, and at most 64 bits.
                let is_shortest = shift == 0 || byte != 0;
                let fits = shift < 63 || byte < 2;
                return if is_shortest && fits { Ok(value) } else { Err(CompactError::Corrupt) };
            }
        }
        Err(CompactError::Corrupt)
    }

    pub(super) fn varint(&mut self) -> Result<usize> {
        usize::try_from(self.long_varint()?).map_err(|_| CompactError::Corrupt)
    }

    /// Bytes after their number.
    fn sized(&mut self) -> Result<&'p [u8]> {
        let length = self.varint()?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compact::Encoder;
    use crate::compact::codes::{END, OTHER_FORM, RAW_FIELD};
    use crate::protobuf::in_scope;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::{Histogram, HistogramDataPoint, Metric};

    /// A line of a few kilobytes inflates to both.
    #[test]
    fn a_skeleton_that_writes_nothing_is_not_read_very_often() {
        let requests = |fields: usize, references: usize| {
            let logs = codes::signal_number(SignalKind::Logs);
            let item = [RAW_FIELD, 0].repeat(fields);
            let again = [2 | OTHER_FORM, 0].repeat(references);
            let skeleton = [&[logs, 1, 2, 2], &*item, &[END], &again, &[END; 3]].concat();
            let mut rebuilder =
                Rebuilder::new(&skeleton, &[], Context::default(), Unit::Nanos, 1 << 20);
            rebuilder.requests().map(|requests| requests.len())
        };
        assert_eq!(requests(1, 500), Ok(1));
        assert_eq!(requests(10_000, 500), Err(CompactError::Corrupt));
    }

    #[test]
    fn rebuilding_stops_when_a_request_exceeds_its_limit() {
        let texts = in_scope(|scope| {
            for length in 0..1000 {
                let text = "x".repeat(length);
                scope.message(2, |record| record.message(5, |body| body.string(1, &text)));
            }
        });
        let texts = Request::trusted(SignalKind::Logs, texts);
        // The counts of a histogram's buckets, which are one field.
        let point = HistogramDataPoint { bucket_counts: vec![0; 10_000], ..Default::default() };
        let data = Data::Histogram(Histogram { data_points: vec![point], ..Default::default() });
        let counts =
            Request::of_metrics(None, vec![Metric { data: Some(data), ..Default::default() }]);
        for request in [texts, counts] {
            let mut encoder = Encoder::new(0);
            let skeleton = encoder.skeleton(&Context::default(), &[&request]).to_vec();
            let mut rebuilder =
                Rebuilder::new(&skeleton, &[], Context::default(), Unit::Nanos, 10_000);
            assert!(matches!(rebuilder.requests(), Err(CompactError::TooLarge)));
            let left = rebuilder.skeleton.unread().len();
            assert!(left > skeleton.len() / 2, "{left} of {}", skeleton.len());
        }
    }
}
