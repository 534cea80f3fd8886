use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde_json::Value;

use super::{fixes::Fix, path::Path, problem::Problem, reader::Reader, reading::Reading, refusal::Refusal};

impl Reader<'_> {
    /// A list, of this many items when a length is given.
    pub(super) fn list<'de, V: Visitor<'de>>(
        self,
        length: Option<usize>,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let parts;
        let items: &[Value] = match self.given() {
            None => &[],
            Some(Value::Array(items)) => items,
            Some(Value::String(text)) if self.pass.reading == Reading::Settings => {
                let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
                parts = texts.map(Value::from).collect::<Vec<_>>();
                &parts
            }
            Some(text @ Value::String(_)) if self.pass.reading.reads_text() && length.is_none() => {
                std::slice::from_ref(text)
            }
            Some(_) => {
                self.wrong(Problem::Type("list"));
                &[]
            }
        };
        if let (Some(length), Some(Value::Array(_))) = (length, self.given())
            && items.len() != length
        {
            self.wrong(Problem::Length(length));
        }
        let end = length.unwrap_or(items.len());
        visitor
            .visit_seq(Items { reader: self, items, next: 0, end })
            .map_err(|refusal: Refusal| refusal.at(self.path))
    }
}

struct Items<'a> {
    reader: Reader<'a>,
    items: &'a [Value],
    next: usize,
    end: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Refusal;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refusal> {
        while self.next < self.end {
            let index = self.next;
            self.next += 1;
            let fixes = self.reader.fixes.and_then(|fixes| fixes.item(index));
            if fixes.and_then(|fixes| fixes.here) == Some(Fix::LeftOut) {
                continue;
            }
            let path = Path::Item(self.reader.path, index);
            let reader = Reader { value: self.items.get(index), path: &path, fixes, pass: self.reader.pass };
            return seed.deserialize(reader).map(Some).map_err(|refusal| refusal.at(&path));
        }
        Ok(None)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.end - self.next)
    }
}
