//! Strided views of matrices: [`Mat`] reads, [`MatMut`] writes.
//!
//! Parts of a row-major matrix lie between one another in memory: a slice from the first to the last element of one
//! would overlap its neighbours. A [`MatMut`] is therefore a pointer with an extent, and only its rows, which are
//! contiguous, become slices. Views are made smaller and taken apart by safe functions alone, so threads that write
//! at the same time hold views without a common element.

use std::{marker::PhantomData, ops::Range, ptr::NonNull};

/// Values of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 16;

/// A matrix to read.
#[derive(Clone, Copy)]
pub struct Mat<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub cols: usize,
    pub row_stride: usize,
    pub col_stride: usize,
}

impl<'a> Mat<'a> {
    /// A row-major matrix.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// `rows` rows of `cols` values, `stride` values apart.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        Self { data, rows, cols, row_stride: stride, col_stride: 1 }
    }

    /// The transpose.
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// A row of contiguous values.
    #[inline(always)]
    pub fn row(&self, i: usize) -> &'a [f32] {
        &self.data[i * self.row_stride..][..self.cols]
    }

    /// Asks for `count` values of row `i` from column `first` on to be brought into the cache, as far as there are any.
    #[inline(always)]
    pub fn prefetch(&self, i: usize, first: usize, count: usize) {
        let start = i * self.row_stride + first;
        #[cfg(target_arch = "x86_64")]
        for value in self.data.get(start..start + count).unwrap_or_default().iter().step_by(LINE) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: it is a hint that changes nothing, and every x86-64 processor has it.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (start, count);
    }

    /// The columns `range`.
    pub fn columns(self, range: Range<usize>) -> Self {
        Self { data: &self.data[range.start * self.col_stride..], cols: range.len(), ..self }
    }

    /// Whether every element lies within the data.
    pub fn in_bounds(&self) -> bool {
        let (Some(row), Some(col)) = (self.rows.checked_sub(1), self.cols.checked_sub(1)) else { return true };
        let last = row.checked_mul(self.row_stride).zip(col.checked_mul(self.col_stride));
        last.and_then(|(row, col)| row.checked_add(col)).is_some_and(|last| last < self.data.len())
    }
}

/// A matrix to write, row-major; its elements are borrowed as exclusively as those of a `&mut [f32]`.
pub struct MatMut<'a> {
    /// Row `i` is the `cols` values from `first + i * row_stride` on, all within the borrowed data; `row_stride` is not
    /// below `cols`, so rows share no element. Dangling where the view is empty.
    first: NonNull<f32>,
    rows: usize,
    cols: usize,
    row_stride: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: a view gives access to nothing but the elements that it borrows exclusively, and `&mut [f32]` is `Send`.
unsafe impl Send for MatMut<'_> {}

impl<'a> MatMut<'a> {
    /// `rows` rows of `cols` values, which are all of `data`.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(Some(data.len()), rows.checked_mul(cols), "values of a matrix of {rows} rows and {cols} columns");
        let first = NonNull::from(data).cast();
        Self { first, rows, cols, row_stride: cols, borrowed: PhantomData }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Values from one row to the next.
    pub fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// The first element, from which the others are reached as the strides say.
    pub fn as_mut_ptr(&mut self) -> *mut f32 {
        self.first.as_ptr()
    }

    #[inline(always)]
    pub fn row(&mut self, i: usize) -> &mut [f32] {
        let row = self.part(i..i + 1, 0..self.cols);
        // SAFETY: a part of one row is `cols` contiguous elements of the borrowed data, or none and dangling; `self`
        // stays borrowed as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(row.first.as_ptr(), row.cols) }
    }

    /// Some rows and columns, while the whole is not used.
    #[inline(always)]
    pub fn part(&mut self, rows: Range<usize>, cols: Range<usize>) -> MatMut<'_> {
        // SAFETY: the part borrows `self` mutably.
        unsafe { self.carve(rows, cols) }
    }

    /// All of it, while the original is not used.
    pub fn reborrow(&mut self) -> MatMut<'_> {
        self.part(0..self.rows, 0..self.cols)
    }

    /// The first `count` rows; the view keeps the others.
    pub fn take_rows(&mut self, count: usize) -> MatMut<'a> {
        // SAFETY: both are parts of this view without a common row, and replace it.
        let (taken, rest) = unsafe { (self.carve(0..count, 0..self.cols), self.carve(count..self.rows, 0..self.cols)) };
        *self = rest;
        taken
    }

    /// The first `count` columns; the view keeps the others.
    pub fn take_columns(&mut self, count: usize) -> MatMut<'a> {
        // SAFETY: both are parts of this view without a common column, and replace it.
        let (taken, rest) = unsafe { (self.carve(0..self.rows, 0..count), self.carve(0..self.rows, count..self.cols)) };
        *self = rest;
        taken
    }

    /// Bands of rows, one for each range; the ranges are in order and apart.
    pub fn bands(mut self, ranges: impl Iterator<Item = Range<usize>>) -> impl Iterator<Item = MatMut<'a>> {
        let mut taken = 0;
        ranges.map(move |range| {
            assert!(taken <= range.start, "rows {range:?} begin before row {taken}");
            self.take_rows(range.start - taken);
            taken = range.end;
            self.take_rows(range.len())
        })
    }

    /// Side by side, every `width` columns; the last may be narrower.
    pub fn column_chunks(mut self, width: usize) -> impl Iterator<Item = MatMut<'a>> {
        std::iter::from_fn(move || match self.cols {
            0 => None,
            cols => Some(self.take_columns(width.max(1).min(cols))),
        })
    }

    /// # Safety
    /// While the part is used, its elements are reached neither by this view nor by another part of it.
    #[inline(always)]
    unsafe fn carve(&self, rows: Range<usize>, cols: Range<usize>) -> MatMut<'a> {
        assert!(
            rows.start <= rows.end && rows.end <= self.rows && cols.start <= cols.end && cols.end <= self.cols,
            "rows {rows:?} and columns {cols:?} of {} and {}",
            self.rows,
            self.cols
        );
        let first = if rows.is_empty() || cols.is_empty() {
            NonNull::dangling()
        } else {
            // SAFETY: by the assertion this is an element of the view, hence of the data that it borrows.
            unsafe { self.first.add(rows.start * self.row_stride + cols.start) }
        };
        MatMut { first, rows: rows.len(), cols: cols.len(), row_stride: self.row_stride, borrowed: PhantomData }
    }
}

#[cfg(test)]
mod tests;
