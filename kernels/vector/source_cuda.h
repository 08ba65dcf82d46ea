/* source_cuda.h: what the three files that write a vector program's CUDA source share: the text so
 * far and the stage in hand. */
#ifndef FSAM_VECTOR_SOURCE_CUDA_H
#define FSAM_VECTOR_SOURCE_CUDA_H

#include "kernels/vector/programs_cuda.h"

/* A program's source while it is written. Grows; `failed` when there was no memory. */
typedef struct source {
  char *text;
  size_t length, room;
  bool failed;
  const fsam_program *p;
  const program_stage *stage;
  int threads;              /* of a block of the stage's sweep */
  int row_of[MAX_UNIFORMS]; /* the row register that a uniform is broadcast from, or -1 */
} source;

/* Appends text, printf-style. */
__attribute__((format(printf, 2, 3))) void source_put(source *w, const char *format, ...);

/* -- instruction_text_cuda.c ------------------------------------------------------------------- */

/* The name of a vector register: b3 for a bound vector, t0 for a temporary. */
void source_put_array(source *w, int number);
/* The lines of an instruction on vectors; none for a reduction. */
void source_put_vector(source *w, const fsam_instruction *in);
/* The line of an instruction on scalars or rows. */
void source_put_scalar(source *w, const fsam_instruction *in, const char *indent);

/* -- sweep_cuda.c ------------------------------------------------------------------------------ */

/* How many vectors the reductions of a stage read. */
int source_staged(const fsam_program *p, int stage);
/* The kernel of the sweep of the stage in hand, which has this number. */
void source_put_sweep(source *w, int number);

/* -- source_cuda.c ----------------------------------------------------------------------------- */

/* Calls put_one with each reduction of the stage in hand; r is its number within the stage. */
void source_each_reduction(source *w, void (*put_one)(source *, const fsam_instruction *, int r));

#endif
