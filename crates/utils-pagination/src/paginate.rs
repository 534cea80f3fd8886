use diesel::{
    Connection, Expression, QueryResult, RunQueryDsl,
    query_builder::AsQuery,
    query_dsl::methods::{LimitDsl, LoadQuery, OffsetDsl, OrderDsl},
};

use crate::{
    count::CountOf,
    page::{Page, Slice},
    params::PageParams,
};

/// `.paginate(params)` on every Diesel select: tables, filters, joins, `distinct`, `group_by`, boxed queries.
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
/// use diesel::prelude::*;
/// use utils_pagination::{Page, PageParams, Paginate};
///
/// diesel::table! {
///     posts (id) { id -> BigInt, title -> Text, public -> Bool }
/// }
///
/// fn titles(params: PageParams, conn: &mut SqliteConnection) -> QueryResult<Page<String>> {
///     posts::table
///         .filter(posts::public.eq(true))
///         .select(posts::title)
///         .paginate(params)
///         .order_by((posts::title.asc(), posts::id.asc()))
///         .load(conn)
/// }
/// ```
///
/// The order comes last, after `paginate`, for two reasons. The database counts without sorting, which on a
/// million rows saves several tenths of a second to a second. And a page without an order, whose rows
/// may repeat or go missing from page to page, does not compile:
///
#[cfg_attr(feature = "sqlite", doc = "```compile_fail")]
#[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
/// # use diesel::prelude::*;
/// # use utils_pagination::{Page, PageParams, Paginate};
/// # diesel::table! {
/// #     posts (id) { id -> BigInt, title -> Text, public -> Bool }
/// # }
/// fn titles(params: PageParams, conn: &mut SqliteConnection) -> QueryResult<Page<String>> {
///     posts::table.filter(posts::public.eq(true)).select(posts::title).paginate(params).load(conn)
/// }
/// ```
///
/// Order by something unique in the end, such as the id: rows that compare equal may swap places between two
/// pages. The select itself should have no order, limit or offset; the page replaces them.
pub trait Paginate: AsQuery + Sized {
    /// The page of this select that `params` names; it still needs its order.
    fn paginate<const DEFAULT: u32, const MAX: u32>(
        self,
        params: PageParams<DEFAULT, MAX>,
    ) -> Paginated<Self::Query> {
        Paginated { query: self.as_query(), offset: params.offset(), limit: params.limit() }
    }
}

impl<Q: AsQuery> Paginate for Q {}

/// A page that needs its order: made by [`Paginate::paginate`].
#[derive(Debug, Clone, Copy)]
#[must_use = "a page is only loaded once it has its order"]
pub struct Paginated<Q> {
    query: Q,
    offset: i64,
    limit: i64,
}

impl<Q> Paginated<Q> {
    /// Sets the order, as Diesel's `order_by` does: one column, a tuple, or a boxed expression.
    pub fn order_by<O: Expression>(self, order: O) -> OrderedPage<Q, O>
    where
        Q: OrderDsl<O>,
    {
        OrderedPage { query: self.query, order, offset: self.offset, limit: self.limit }
    }
}

/// A page that can be loaded.
///
/// | | statements | `totalItems` |
/// |---|---|---|
/// | [`load`](Self::load) | a count and the page | exact |
/// | [`count_up_to(n)`](Self::count_up_to) | a count of at most `n` rows and the page | exact below `n` |
/// | [`load_with_total`](Self::load_with_total) | the page, and your count where the page does not prove it | yours |
/// | [`load_slice`](Self::load_slice) | the page and one row more | none: `hasMore` |
#[derive(Debug, Clone, Copy)]
#[must_use = "a page is only loaded by one of the load methods"]
pub struct OrderedPage<Q, O> {
    query: Q,
    order: O,
    offset: i64,
    limit: i64,
}

/// A select with its order, limit and offset.
type PageQuery<Q, O> = <<<Q as OrderDsl<O>>::Output as LimitDsl>::Output as OffsetDsl>::Output;

impl<Q, O: Expression> OrderedPage<Q, O> {
    /// Counts the rows and loads the page. Beyond the last row only the count is run.
    ///
    /// These are two statements; in a transaction that reads a snapshot they see the same rows.
    ///
    /// # Errors
    /// What Diesel says of the database.
    pub fn load<'query, T, C>(self, conn: &mut C) -> QueryResult<Page<T>>
    where
        C: Connection,
        Q: OrderDsl<O, Output: LimitDsl<Output: OffsetDsl>>,
        PageQuery<Q, O>: LoadQuery<'query, C, T>,
        for<'count> CountOf<&'count Q, false>: LoadQuery<'count, C, i64>,
    {
        let total = CountOf::<_, false> { query: &self.query, cap: 0 }.get_result(conn)?;
        self.load_within(total, conn)
    }

    /// Counts no further than `rows`, and shows no more than these.
    pub fn count_up_to(self, rows: u32) -> CappedPage<Q, O> {
        CappedPage { page: self, cap: i64::from(rows) }
    }

    /// Loads the page, and takes the total from a query of your own, such as one over a table of counters. It
    /// is not run where the page itself proves the total: when it is the last one.
    ///
    /// # Errors
    /// What Diesel says of the database.
    pub fn load_with_total<'query, 'total, T, C, N>(self, total: N, conn: &mut C) -> QueryResult<Page<T>>
    where
        C: Connection,
        Q: OrderDsl<O, Output: LimitDsl<Output: OffsetDsl>>,
        PageQuery<Q, O>: LoadQuery<'query, C, T>,
        N: LoadQuery<'total, C, i64>,
    {
        let Self { offset, limit, .. } = self;
        let items = self.query(limit).load::<T>(conn)?;
        let shown = items.len() as i64;
        let is_last = shown < limit && (shown > 0 || offset == 0);
        let total_items = if is_last { offset + shown } else { total.get_result(conn)? };
        Ok(Page { offset, limit, total_items, items })
    }

    /// Loads the page and looks one row further, without a count: the cheapest page there is.
    ///
    /// # Errors
    /// What Diesel says of the database.
    pub fn load_slice<'query, T, C>(self, conn: &mut C) -> QueryResult<Slice<T>>
    where
        C: Connection,
        Q: OrderDsl<O, Output: LimitDsl<Output: OffsetDsl>>,
        PageQuery<Q, O>: LoadQuery<'query, C, T>,
    {
        let Self { offset, limit, .. } = self;
        let mut items = self.query(limit + 1).load::<T>(conn)?;
        let has_more = items.len() as i64 > limit;
        if has_more {
            items.pop();
        }
        Ok(Slice { offset, limit, has_more, items })
    }

    /// The rows of the page that are among the first `total_items`; no query where there can be none.
    fn load_within<'query, T, C>(self, total_items: i64, conn: &mut C) -> QueryResult<Page<T>>
    where
        C: Connection,
        Q: OrderDsl<O, Output: LimitDsl<Output: OffsetDsl>>,
        PageQuery<Q, O>: LoadQuery<'query, C, T>,
    {
        let Self { offset, limit, .. } = self;
        let shown = limit.min(total_items.saturating_sub(offset));
        let items = if shown > 0 { self.query(shown).load::<T>(conn)? } else { Vec::new() };
        Ok(Page { offset, limit, total_items, items })
    }

    fn query(self, limit: i64) -> PageQuery<Q, O>
    where
        Q: OrderDsl<O, Output: LimitDsl<Output: OffsetDsl>>,
    {
        self.query.order(self.order).limit(limit).offset(self.offset)
    }
}

/// A page of a list that is counted up to a bound: made by [`OrderedPage::count_up_to`].
///
/// `totalItems` is exact below the bound; at the bound it means "that many or more", and the list ends there:
/// a page beyond it is empty. So neither the count nor a far page can cost more than the bound allows.
#[derive(Debug, Clone, Copy)]
#[must_use = "a page is only loaded by `load`"]
pub struct CappedPage<Q, O> {
    page: OrderedPage<Q, O>,
    cap: i64,
}

impl<Q, O: Expression> CappedPage<Q, O> {
    /// Counts the rows up to the bound and loads the page. Beyond the last row only the count is run.
    ///
    /// # Errors
    /// What Diesel says of the database.
    pub fn load<'query, T, C>(self, conn: &mut C) -> QueryResult<Page<T>>
    where
        C: Connection,
        Q: OrderDsl<O, Output: LimitDsl<Output: OffsetDsl>>,
        PageQuery<Q, O>: LoadQuery<'query, C, T>,
        for<'count> CountOf<&'count Q, true>: LoadQuery<'count, C, i64>,
    {
        let total = CountOf::<_, true> { query: &self.page.query, cap: self.cap }.get_result(conn)?;
        self.page.load_within(total, conn)
    }
}
