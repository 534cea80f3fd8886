use serde::Serialize;

use crate::params::PageParams;

/// One page of a list whose length is known: `{"offset": 40, "limit": 20, "totalItems": 57, "items": […]}`.
///
/// `offset` and `limit` are what was asked for. Beyond the last item a page is empty and still has the total.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// How many items come before this page.
    pub offset: i64,
    /// How many items this page could have had.
    pub limit: i64,
    /// How many items the list has.
    pub total_items: i64,
    /// The items, in order.
    pub items: Vec<T>,
}

impl<T> Page<T> {
    /// A page of a list that is at hand. The iterator is run to its end, to count it.
    ///
    /// ```
    /// use utils_pagination::{Page, PageParams};
    ///
    /// let params: PageParams = PageParams::new(10, 3)?;
    /// let page = Page::of(0..12, &params);
    /// assert_eq!((page.items, page.total_items), (vec![10, 11], 12));
    /// # Ok::<(), utils_pagination::PageError>(())
    /// ```
    #[must_use]
    pub fn of<const DEFAULT: u32, const MAX: u32>(
        list: impl IntoIterator<Item = T>,
        params: &PageParams<DEFAULT, MAX>,
    ) -> Self {
        let (offset, limit) = (params.offset(), params.limit());
        let mut total_items = 0;
        let mut items = Vec::new();
        for item in list {
            if total_items >= offset && total_items - offset < limit {
                items.push(item);
            }
            total_items += 1;
        }
        Self { offset, limit, total_items, items }
    }

    /// The same page of other items, such as what clients may see of a row.
    #[must_use]
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        let Self { offset, limit, total_items, items } = self;
        Page { offset, limit, total_items, items: items.into_iter().map(change).collect() }
    }
}

/// One page of a list whose length nobody counted: `{"offset": 40, "limit": 20, "hasMore": true, "items":
/// […]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Slice<T> {
    /// How many items come before this page.
    pub offset: i64,
    /// How many items this page could have had.
    pub limit: i64,
    /// Whether items come after this page.
    pub has_more: bool,
    /// The items, in order.
    pub items: Vec<T>,
}

impl<T> Slice<T> {
    /// The same page of other items, such as what clients may see of a row.
    #[must_use]
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Slice<U> {
        let Self { offset, limit, has_more, items } = self;
        Slice { offset, limit, has_more, items: items.into_iter().map(change).collect() }
    }

    /// The page with a total that the application knows, from a cache or a counter.
    #[must_use]
    pub fn with_total(self, total_items: i64) -> Page<T> {
        let Self { offset, limit, items, .. } = self;
        Page { offset, limit, total_items, items }
    }
}
