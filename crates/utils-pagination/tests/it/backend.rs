/// The same tests on one backend: `connect` gives a connection to a database with the tables of `schema`.
macro_rules! test_backend {
    ($Backend:ty, $connect:path) => {
        use diesel::{
            BoxableExpression,
            connection::{Instrumentation, InstrumentationEvent},
            dsl::count_star,
            expression::expression_types::NotSelectable,
            prelude::*,
        };
        use utils_pagination::{Page, PageParams, Paginate, Slice};

        use crate::schema::{Item, groups, items};

        fn page(offset: i64, limit: i64) -> PageParams {
            PageParams::new(offset, limit).unwrap()
        }

        fn ids(items: &[Item]) -> Vec<i64> {
            items.iter().map(|item| item.id).collect()
        }

        #[test]
        fn a_page_of_a_table_has_its_rows_and_the_total() {
            let conn = &mut *$connect();
            let page =
                items::table.paginate(page(50, 5)).order_by(items::id.asc()).load::<Item, _>(conn).unwrap();
            assert_eq!((page.offset, page.limit, page.total_items), (50, 5, 57));
            assert_eq!(ids(&page.items), [51, 52, 53, 54, 55]);
        }

        #[test]
        fn pages_walk_the_whole_list_once_in_its_order() {
            let conn = &mut *$connect();
            for limit in [1, 10, 56, 57, 58] {
                let mut seen = Vec::new();
                let mut has_more = true;
                while has_more {
                    let order = (items::grp.desc(), items::id.asc());
                    let query = items::table.paginate(page(seen.len() as i64, limit)).order_by(order);
                    let slice: Slice<Item> = query.load_slice(conn).unwrap();
                    assert!(!slice.items.is_empty(), "an empty page after {}", seen.len());
                    seen.extend(ids(&slice.items));
                    has_more = slice.has_more;
                }
                let all: Vec<i64> = items::table
                    .select(items::id)
                    .order((items::grp.desc(), items::id.asc()))
                    .load(conn)
                    .unwrap();
                assert_eq!(seen, all, "by {limit}");
            }
        }

        #[test]
        fn filters_selections_and_boxed_queries_are_counted() {
            let conn = &mut *$connect();
            let filtered = items::table.filter(items::grp.eq(1));
            let page_of_items =
                filtered.paginate(page(15, 5)).order_by(items::id).load::<Item, _>(conn).unwrap();
            assert_eq!((page_of_items.total_items, ids(&page_of_items.items)), (19, vec![46, 49, 52, 55]));

            let boxed = filtered.select(Item::as_select()).into_boxed::<$Backend>();
            let boxed = boxed.filter(items::name.ne("item-01"));
            let page_of_items = boxed.paginate(page(0, 2)).order_by(items::id.desc()).load(conn).unwrap();
            assert_eq!((page_of_items.total_items, ids(&page_of_items.items)), (18, vec![55, 52]));

            let names = items::table.filter(items::id.lt(0)).select(items::name);
            let nothing: Page<String> = names.paginate(page(0, 5)).order_by(items::id).load(conn).unwrap();
            assert_eq!(nothing, Page { offset: 0, limit: 5, total_items: 0, items: vec![] });
        }

        #[test]
        fn joins_are_counted_although_two_columns_have_one_name() {
            let conn = &mut *$connect();
            let joined = items::table.inner_join(groups::table);
            let order = (groups::name.asc(), items::id.asc());
            let both: Page<(Item, (i64, String))> =
                joined.paginate(page(19, 2)).order_by(order).load(conn).unwrap();
            assert_eq!(both.total_items, 57);
            let shown: Vec<_> = both.items.iter().map(|(item, (_, name))| (item.id, name.as_str())).collect();
            assert_eq!(shown, [(2, "two"), (5, "two")]);

            let selected =
                joined.select((Item::as_select(), groups::name, groups::id)).filter(groups::name.ne("two"));
            let boxed = selected.into_boxed::<$Backend>();
            let both: Page<(Item, String, i64)> =
                boxed.paginate(page(0, 1)).order_by(items::id).load(conn).unwrap();
            assert_eq!((both.total_items, both.items[0].1.as_str()), (38, "one"));
            let capped: Page<(Item, (i64, String))> =
                joined.paginate(page(0, 1)).order_by(items::id).count_up_to(30).load(conn).unwrap();
            assert_eq!(capped.total_items, 30);
        }

        #[test]
        fn distinct_and_grouped_rows_are_counted_as_rows() {
            let conn = &mut *$connect();
            let distinct = items::table.select(items::grp).distinct();
            let page_of_groups: Page<i64> =
                distinct.paginate(page(1, 1)).order_by(items::grp).load(conn).unwrap();
            assert_eq!((page_of_groups.total_items, page_of_groups.items), (3, vec![1]));

            let grouped = items::table.group_by(items::grp).select((items::grp, count_star()));
            let page_of_groups: Page<(i64, i64)> =
                grouped.paginate(page(0, 2)).order_by(items::grp.desc()).load(conn).unwrap();
            assert_eq!((page_of_groups.total_items, page_of_groups.items), (3, vec![(2, 19), (1, 19)]));

            let large = grouped.having(count_star().gt(100));
            let page_of_groups: Page<(i64, i64)> =
                large.paginate(page(0, 2)).order_by(items::grp.desc()).load(conn).unwrap();
            assert_eq!(page_of_groups.total_items, 0);
        }

        #[test]
        fn the_order_can_be_chosen_while_running() {
            type Order = Box<dyn BoxableExpression<items::table, $Backend, SqlType = NotSelectable>>;
            let conn = &mut *$connect();
            for (newest_first, first) in [(true, 57), (false, 1)] {
                let order: Order =
                    if newest_first { Box::new(items::id.desc()) } else { Box::new(items::name.asc()) };
                let page = items::table.paginate(page(0, 1)).order_by(order).load::<Item, _>(conn).unwrap();
                assert_eq!(ids(&page.items), [first]);
            }
        }

        #[test]
        fn beyond_the_end_a_page_is_empty_and_the_total_stays() {
            let conn = &mut *$connect();
            for offset in [57, 58, 1_000_000, i64::MAX] {
                let query = || items::table.paginate(page(offset, 5)).order_by(items::id);
                let expected = Page { offset, limit: 5, total_items: 57, items: Vec::<Item>::new() };
                assert_eq!(query().load::<Item, _>(conn).unwrap(), expected);
                assert_eq!(query().count_up_to(1_000).load::<Item, _>(conn).unwrap(), expected);
                let by_own_count = query().load_with_total::<Item, _, _>(items::table.count(), conn).unwrap();
                assert_eq!(by_own_count, expected);
                let slice: Slice<Item> = query().load_slice(conn).unwrap();
                assert!(!slice.has_more && slice.items.is_empty());
            }
        }

        #[test]
        fn a_bounded_count_ends_the_list_at_the_bound() {
            let conn = &mut *$connect();
            for (offset, total, shown) in
                [(0, 20, 7), (14, 20, 6), (19, 20, 1), (20, 20, 0), (40, 20, 0), (i64::MAX, 20, 0)]
            {
                let query = items::table.paginate(page(offset, 7)).order_by(items::id).count_up_to(20);
                let page = query.load::<Item, _>(conn).unwrap();
                assert_eq!((page.total_items, page.items.len()), (total, shown), "from {offset}");
            }
            for (bound, total) in [(0, 0), (56, 56), (57, 57), (58, 57), (u32::MAX, 57)] {
                let query = items::table.paginate(page(0, 1)).order_by(items::id).count_up_to(bound);
                assert_eq!(query.load::<Item, _>(conn).unwrap().total_items, total, "up to {bound}");
            }
        }

        #[test]
        fn a_total_of_ones_own_is_asked_for_only_where_it_is_needed() {
            let conn = &mut *$connect();
            let wrong = items::table.count().filter(items::id.lt(0)); // 0, so that it shows
            for (offset, limit, total) in [(0, 58, 57), (0, 57, 0), (50, 8, 57), (50, 5, 0), (57, 5, 0)] {
                let query = items::table.paginate(page(offset, limit)).order_by(items::id);
                let page = query.load_with_total::<Item, _, _>(wrong, conn).unwrap();
                assert_eq!(page.total_items, total, "from {offset} by {limit}");
            }
        }

        /// Writes down the statements of one connection.
        #[derive(Default, Clone)]
        struct Statements(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

        impl Instrumentation for Statements {
            fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
                if let InstrumentationEvent::StartQuery { query, .. } = event {
                    self.0.lock().unwrap().push(query.to_string());
                }
            }
        }

        #[test]
        fn the_count_does_not_sort_and_an_empty_page_is_not_fetched() {
            let conn = &mut *$connect();
            let statements = Statements::default();
            conn.set_instrumentation(statements.clone());
            let run = || statements.0.lock().unwrap().drain(..).collect::<Vec<_>>();

            let query = |offset| items::table.paginate(page(offset, 5)).order_by(items::name);
            query(0).load::<Item, _>(conn).unwrap();
            let sql = run();
            assert_eq!(sql.len(), 2, "{sql:?}");
            assert!(sql[0].contains("COUNT(*)") && !sql[0].contains("ORDER BY"), "{sql:?}");
            assert!(sql[1].contains("ORDER BY") && sql[1].contains("LIMIT"), "{sql:?}");

            query(57).load::<Item, _>(conn).unwrap();
            assert_eq!(run().len(), 1);
            query(40).count_up_to(40).load::<Item, _>(conn).unwrap();
            assert_eq!(run().len(), 1);
            query(0).load_slice::<Item, _>(conn).unwrap();
            assert_eq!(run().len(), 1);
            query(55).load_with_total::<Item, _, _>(items::table.count(), conn).unwrap();
            assert_eq!(run().len(), 1);
        }
    };
}
