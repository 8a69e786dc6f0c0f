use super::*;

/// Rows and columns of the matrices here; Miri is slow.
const ROWS: usize = if cfg!(miri) { 5 } else { 61 };
const COLS: usize = if cfg!(miri) { 7 } else { 83 };

/// Adds `value` to every element.
fn add(mut view: MatMut, value: f32) {
    for i in 0..view.rows() {
        view.row(i).iter_mut().for_each(|x| *x += value);
    }
}

fn counted() -> Vec<f32> {
    (0..ROWS * COLS).map(|i| i as f32).collect()
}

/// The elements that changed by something other than 1.
fn missed(data: &[f32]) -> Vec<usize> {
    (0..data.len()).filter(|&i| data[i] != i as f32 + 1.0).collect()
}

/// In threads, so that Miri sees races too.
fn add_in_threads<'a>(parts: impl Iterator<Item = MatMut<'a>>) {
    std::thread::scope(|scope| {
        parts.for_each(|part| {
            scope.spawn(|| add(part, 1.0));
        })
    });
}

#[test]
fn chunks_of_columns_cover_every_element_once() {
    for width in [1, 3, COLS - 1, COLS, COLS + 1] {
        let mut data = counted();
        add_in_threads(MatMut::new(&mut data, ROWS, COLS).column_chunks(width));
        assert_eq!(missed(&data), [0; 0], "width {width}");
    }
}

#[test]
fn bands_cover_their_rows_and_no_others() {
    let mut data = counted();
    add_in_threads(MatMut::new(&mut data, ROWS, COLS).bands([0..1, 1..1, 2..ROWS].into_iter()));
    assert_eq!(missed(&data), Vec::from_iter(COLS..2 * COLS));
}

#[test]
fn tiles_of_bands_and_columns_are_written_by_threads_side_by_side() {
    let mut data = counted();
    let bands = MatMut::new(&mut data, ROWS, COLS).bands([0..2, 2..ROWS].into_iter());
    add_in_threads(bands.flat_map(|band| band.column_chunks(3)));
    assert_eq!(missed(&data), [0; 0]);
}

#[test]
fn what_is_taken_and_what_is_left_may_be_written_in_turns() {
    let mut data = counted();
    let mut rest = MatMut::new(&mut data, ROWS, COLS);
    let (mut top, mut left) = (rest.take_rows(2), rest.take_columns(4));
    for i in 0..2 {
        top.row(i)[0] += 1.0;
        left.row(i)[3] += 1.0;
        rest.row(i)[0] += 1.0;
        left.part(i..i + 1, 0..1).row(0)[0] += 1.0;
    }
    let changed: Vec<_> = (0..data.len()).filter(|&i| data[i] != i as f32).collect();
    let rows = [0, 1].map(|i| [(2 + i) * COLS, (2 + i) * COLS + 3, (2 + i) * COLS + 4]);
    assert_eq!(changed, [vec![0, COLS], rows.concat()].concat());
}

/// As a matrix product does it.
#[test]
fn a_part_reaches_its_own_elements_through_its_pointer() {
    let mut data = counted();
    let mut whole = MatMut::new(&mut data, ROWS, COLS);
    let mut part = whole.part(1..3, 2..5);
    let (first, stride) = (part.as_mut_ptr(), part.row_stride());
    for i in 0..part.rows() {
        for j in 0..part.cols() {
            // SAFETY: an element of the part, whose rows are `stride` values apart.
            unsafe { *first.add(i * stride + j) += 1.0 };
        }
    }
    let changed: Vec<_> = (0..data.len()).filter(|&i| data[i] != i as f32).collect();
    assert_eq!(changed, [COLS + 2..COLS + 5, 2 * COLS + 2..2 * COLS + 5].map(Vec::from_iter).concat());
}

#[test]
fn empty_views_have_empty_rows_only() {
    for (rows, cols) in [(0, 0), (0, 3), (3, 0)] {
        let mut whole = MatMut::new(&mut [], rows, cols);
        assert!((0..rows).all(|i| whole.row(i).is_empty()));
        assert_eq!((whole.take_rows(rows).rows(), whole.rows()), (rows, 0));
    }
    let mut data = counted();
    let mut whole = MatMut::new(&mut data, ROWS, COLS);
    let mut none = whole.part(ROWS..ROWS, 0..COLS);
    assert_eq!(none.take_columns(2).column_chunks(1).count(), 2);
    let mut none = whole.part(0..ROWS, COLS..COLS);
    assert!((0..ROWS).all(|i| none.row(i).is_empty()));
}

#[test]
fn parts_beyond_a_view_are_refused() {
    let refused = |f: fn(MatMut)| {
        let mut data = counted();
        std::panic::catch_unwind(move || f(MatMut::new(&mut data, ROWS, COLS).part(0..2, 1..3))).is_err()
    };
    assert!(refused(|mut part| assert!(!part.row(2).is_empty())));
    assert!(refused(|mut part| add(part.part(1..3, 0..1), 1.0)));
    assert!(refused(|mut part| add(part.part(0..1, 2..3), 1.0)));
    #[allow(clippy::reversed_empty_ranges)]
    let reversed = |mut part: MatMut| add(part.part(1..0, 0..1), 1.0);
    assert!(refused(reversed));
    assert!(refused(|mut part| add(part.take_rows(3), 1.0)));
    assert!(refused(|mut part| add(part.take_columns(3), 1.0)));
    assert!(refused(|part| assert!(part.bands([0..2, 1..2].into_iter()).count() > 0)));
    assert!(std::panic::catch_unwind(|| MatMut::new(&mut [0.0; 5], 2, 3).rows()).is_err());
}

#[test]
fn a_matrix_to_read_is_in_bounds_if_its_last_element_is() {
    let data = [0.0; 10];
    assert!(Mat::strided(&data, 2, 4, 6).in_bounds());
    assert!(!Mat::strided(&data, 2, 5, 6).in_bounds());
    assert!(!Mat::strided(&data, 2, 4, 6).t().columns(1..3).in_bounds());
    assert!(Mat::strided(&data, 0, 9, 99).in_bounds());
    assert!(!Mat::strided(&data, usize::MAX, 2, usize::MAX).in_bounds());
}
