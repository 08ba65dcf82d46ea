--- Names that users know from other libraries, and what to write here instead. Owns: these two
-- lists, for messages about unknown names.
local M = {}

--- Methods of tensors elsewhere → the same of vectors here.
M.methods = {
  add = "a + b", sub = "a - b", mul = "a * b", div = "a / b", pow = "a ^ b", neg = "-a",
  square = "a ^ 2 or a:dot(a)", rsqrt = "a ^ -0.5", cmul = "a * b", cdiv = "a / b",
  add_ = "a:set(a + b)", sub_ = "a:set(a - b)", mul_ = "a:set(a * b)", div_ = "a:set(a / b)",
  copy_ = "a:set(b)", copy = "a:set(b)", zero_ = "a:set(0)", zero = "a:set(0)",
  fill_ = "a:set(x)", grad = "params.g", item = "a:read()", tolist = "a:read()",
  numpy = "a:parameter(name):read()", value = "a:read()", float = "a:read()",
  clip = "a:clamp(low, high)", clamp_ = "a:set(a:clamp(low, high))",
  where = "vector.where(p, a, b)",
  ne = "a:eq(b):complement()", norm2 = "a:norm()", length = "a:norm()", size = "params.count",
  numel = "params.count", shape = "params.parameters[i].shape",
  clone = "params:vector(name):set(a)",
  topk = "mask:top(a, share)", sgn = "a:sign()", maximum = "a:max(b)", minimum = "a:min(b)",
  matmul = "a:dot(b); vectors are flat, products of matrices are ops",
}

--- Fields of optimizers elsewhere → those of `s`.
M.fields = {
  grad = "g", gradient = "g", grads = "g", gradients = "g", grad2 = "g2", learning_rate = "lr",
  weights = "w", weight = "w", params = "w", param = "w", p = "w", data = "w", iteration = "step",
  iter = "step", steps = "step", epoch = "progress", batch_size = "N", wd = "weight_decay",
  model = "w",
}

return M
