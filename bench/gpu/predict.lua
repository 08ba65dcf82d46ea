--- What a step should take on an H200, from what is counted without one: the instructions that
-- warps execute (sass.lua), the bytes that are moved, the blocks that fit on a multiprocessor.
-- Called by scripts/ptx-report --predict.
--
--     luajit bench/gpu/predict.lua SASS USES
--
-- SASS: what `nvdisasm -c` prints of the kernels' cubins for sm_90, names as C++ writes them.
-- USES: lines "KERNEL<tab>registers<tab>bytes of static shared memory". Ends with status 1 where a
-- step is predicted above its limit.
--
-- The model. A multiprocessor has four schedulers, each issues one instruction a clock from one of
-- its warps. With w warps it finds one that can go on in w / (w + 1.3) of the clocks: so two warps
-- (61 %) and three (70 %) give the times that an expert expects of kernels with so many. A launch
-- takes the longest of that, of its bytes and, where its blocks come in few waves, of whole waves;
-- then FILL until its first data are there, and NODE for its place in the graph; one that starts
-- before the kernel ahead of it has ended (FSAM_LAUNCH_EARLY) saves EARLY of these. Products are
-- cuBLASLt's, of which nothing is counted: at few tokens an expert's estimate for each, else a
-- share of the matrix unit. At few tokens what nothing waits for runs beside backward's chain, and
-- HIDDEN of the shorter of the two is hidden. What is predicted is for finding where time goes; a
-- GPU decides.
package.path = (arg[0]:match("^(.*)/[^/]*$") or ".") .. "/?.lua;" .. package.path
local sass = require("sass")

local PROCESSORS, SCHEDULERS, CLOCK = 132, 4, 1.755e9
local REGISTERS, SHARED, WARPS, BLOCKS = 65536, 228 * 1024, 64, 32 -- of a multiprocessor
local COPY = 4.3e12 -- bytes a second, read and written
local BANDWIDTH, MATRIX, MATRIX_SHARE = COPY * 0.92, 790e12, 0.88
local NODE, FILL = 1e-6, 1.2e-6 -- seconds
-- An expert expects 0.4 to 0.6 ms less a step where our kernels start early, at 10 or 11 of them in
-- a layer's chain, 48 layers a step: 0.8 to 1.2 µs each. This is less than that.
local EARLY = 0.7e-6
local HIDDEN = 0.8 -- of the shorter of two branches of a graph that run side by side
local COPY_SHARE = 0.87 -- of copy bandwidth, in the programs of vectors
-- Launches, programs between sweeps, and the host at a step's end: 0.35 ms, an expert says, with
-- scalars read one by one, each a copy and a wait of 12 µs: three norms, of which two were read
-- twice. They are read at once.
local STEP_REST = 0.35e-3 - 4 * 12e-6
-- A launch of a small kernel; a small product, as the least of those below; the head's f32 product.
local SMALL, SMALL_PRODUCT, HEAD_PRODUCT = FILL + NODE + 0.3e-6, 4.5e-6, 6e-6

local L, H, F, HEADS, D, PARAMETERS = 24, 1024, 4096, 16, 64, 355.4e6 -- RoBERTa-large

-- -- shapes ---------------------------------------------------------------------------------------

local function repeated(length, count)
  local list = {}
  for i = 1, count do
    list[i] = length
  end
  return list
end

-- `few`: microseconds of each product in a graph, at so few tokens. `bytes`: of a parameter in a
-- step's programs of vectors; `norms`: of these, 4 for each norm of a gradient.
local SHAPES = {
  { name = "CoLA, 32 sentences", type = "fisher-sam", limit = 9e-3, bytes = 48.1, norms = 8, few = {
      qkv = 6, projection = 5.5, up = 6.5, down = 8, down_dw = 7, down_dx = 6.5, up_dw = 7,
      up_dx = 8, projection_dw = 4.5, projection_dx = 5.5, qkv_dw = 6, qkv_dx = 7.5 },
    lengths = { 5, 16, 9, 13, 7, 9, 13, 20, 9, 22, 16, 6, 14, 13, 13, 15, 11, 11, 13, 10, 9, 9, 9,
      15, 8, 8, 12, 18, 11, 14, 11, 10 } },
  { name = "32 × 512 tokens", type = "sam", limit = 150e-3, bytes = 48,
    lengths = repeated(512, 32) },
}

local function ceil_div(a, b)
  return math.ceil(a / b)
end

-- -- kernels --------------------------------------------------------------------------------------

local function same(count)
  return function(loop)
    return loop.marks.load and count or 1
  end
end

local function same_loops(count)
  return function()
    return count
  end
end

-- Trips of an attention kernel's loops: `tiles` of the loops with products, where `wanted` says
-- whether they belong to the work in question; inside a tile, as many turns of a loop as the octets
-- of a thread need that the loop draws or loads in a turn.
local function attention_trips(tiles, octets, wanted)
  return function(loop)
    local marks = loop.marks
    if marks.product then
      return (not wanted or wanted(marks)) and tiles or 0
    elseif marks.philox then
      return octets
    end
    return 1
  end
end

-- What a shape means for the kernels: rows T, chunks of rows (columns.cuh) of `each` rows, and
-- attention's tiles: of how many rows and columns, how many of its blocks and their warps, how many
-- tiles a block goes through, tiles in shared memory at once, bytes of a row there, octets of
-- dropout that a thread draws for a tile.
local function sizes_of(shape)
  local g, tokens, longest = {}, 0, 0
  for _, n in ipairs(shape.lengths) do
    tokens, longest = tokens + n, math.max(longest, n)
  end
  g.T = ceil_div(tokens, 32) * 32
  g.each = math.max(4, ceil_div(g.T, 512))
  g.chunks = ceil_div(g.T, g.each)
  g.short = longest <= 32
  g.warps, g.rows, g.columns, g.stages = 4, 64, 64, 2
  if g.short then
    g.warps, g.rows, g.columns, g.stages = 1, 16, 32, 1
  end
  local blocks, tiles = 0, 0
  for _, n in ipairs(shape.lengths) do
    blocks = blocks + ceil_div(n, g.rows)
    tiles = tiles + ceil_div(n, g.rows) * ceil_div(n, g.columns)
  end
  g.blocks, g.tiles = blocks * HEADS, tiles / blocks
  g.stride, g.octets = 2 * (D + 8), g.rows * g.columns / 8 / (g.warps * 32)
  return g
end

-- Launches in order. Each: name; kernel, blocks, warps of a block, trips (of its loops), shared
-- (dynamic bytes), bytes (read and written), count (how often; 1), aside (nothing waits for it
-- before the pass ends); or product, flops, micro (microseconds, where an expert said how many).
local Launches = {}
Launches.__index = Launches

function Launches:kernel(o)
  table.insert(self, o)
end

-- y[T,n] = x[T,k] w, or a gradient of it; aside: that of w[n,k].
function Launches:product(name, n, k, aside)
  local T = self.sizes.T
  table.insert(self, { name = "product " .. name, flops = 2 * T * n * k, aside = aside,
    micro = self.few and self.few[name], bytes = 2 * T * (n + k) + n * k * (aside and 4 or 2) })
end

function Launches:add_up(name, columns)
  local chunks = self.sizes.chunks
  self:kernel({ name = "sums of " .. name, kernel = "column_sums_k", blocks = columns / 32,
    warps = 16, bytes = chunks * columns * 4, aside = self.few ~= nil, early = true,
    trips = function(loop)
      return math.ceil(chunks / 16 / math.max(loop.marks.word or 1, 1))
    end })
end

-- The sums over chunks of so many columns: at few tokens those of a layer are one launch, at its
-- end, else each is one of its own, in the chain.
function Launches:sums(name, columns)
  if self.few then
    self.columns = (self.columns or 0) + columns
  else
    self:add_up(name, columns)
  end
end

-- The squares of a layer's weights' gradients, which the gradient's norm then need not read.
function Launches:squares(name, count)
  if self.few then
    self:kernel({ name = "squares of " .. name, kernel = "early_squares_k", warps = 4,
      blocks = count / 4096 / 8, aside = true, early = true, trips = same_loops(16),
      bytes = count * 4 * BANDWIDTH / COPY / COPY_SHARE })
  end
end

function Launches:norm_back(name)
  local g = self.sizes
  self:kernel({ name = name, kernel = "layernorm_backward_k<bf16, false>", blocks = g.chunks,
    warps = 4, early = true, trips = same(g.each),
    bytes = g.T * H * 2 * 5 + g.chunks * 3 * H * 4 })
  self:sums(name, 3 * H)
end

function Launches:forward()
  local g = self.sizes
  self:product("qkv", 3 * H, H)
  self:kernel({ name = "attention", kernel = ("attention_forward_k<bf16, 64, %d>"):format(g.warps),
    blocks = g.blocks, warps = g.warps, early = true, trips = attention_trips(g.tiles, g.octets),
    shared = (g.rows + 2 * g.stages * g.columns) * g.stride + g.rows * g.columns / 8,
    bytes = g.T * H * 2 * 4 })
  self:product("projection", H, H)
  self:kernel({ name = "layer norm", kernel = "layernorm_forward_k<bf16>", blocks = g.T, warps = 4,
    bytes = g.T * H * 2 * 4, trips = same(1), early = true, count = 2 })
  self:product("up", F, H)
  self:kernel({ name = "GELU", kernel = "activation_forward_k<bf16, 0>", warps = 8,
    early = true, blocks = g.T * F / 2048, bytes = g.T * F * 2 * 2, trips = same(1) })
  self:product("down", H, F)
end

-- A launch of attention_backward_k<bf16, 64, warps, work>, of whose two kinds of loops (keys have
-- more products than queries) those with the most products count, or the least.
function Launches:attention_back(name, work, keys, blocks, kernels)
  local g = self.sizes
  local kernel = ("attention_backward_k<bf16, 64, %d, %d>"):format(g.warps, work)
  local most = 0
  for _, loop in ipairs(sass.loops(kernels[kernel] or {})) do
    most = math.max(most, loop.marks.product or 0)
  end
  self:kernel({ name = "attention back" .. name, kernel = kernel, blocks = blocks, warps = g.warps,
    early = true,
    shared = 2 * (g.rows + g.stages * g.columns) * g.stride + g.stages * g.rows * g.columns / 8
      + 8 * math.max(g.rows, g.stages * g.columns), bytes = g.T * H * 2 * 6,
    trips = attention_trips(g.tiles, g.short and g.octets or 0, -- longer samples' bits are kept
      function(marks) return not keys or marks.product == most end) })
end

function Launches:backward(kernels)
  local g = self.sizes
  self.forward_ends = #self
  self:norm_back("layer norm, output, back")
  self:product("down_dw", H, F, true)
  self:product("down_dx", H, F)
  self:kernel({ name = "GELU back", kernel = "activation_backward_k<bf16, 0>", warps = 8,
    early = true, blocks = g.chunks * F / 2048, trips = same(g.each),
    bytes = g.T * F * 2 * 3 + g.chunks * F * 4 })
  self:sums("GELU", F)
  self:product("up_dw", F, H, true)
  self:product("up_dx", F, H)
  self:norm_back("layer norm, attention, back")
  self:product("projection_dw", H, H, true)
  self:product("projection_dx", H, H)
  if not g.short then
    self:kernel({ name = "attention, terms of rows", kernel = "attention_terms_k<bf16, 64>",
      blocks = g.T * HEADS * 8 / 256, warps = 8, bytes = g.T * H * 2 * 2, trips = same(1) })
  end
  if g.short then
    -- In one launch; it takes as long as its slower blocks, those of keys.
    self:attention_back("", 2, true, 2 * g.blocks, kernels)
  else
    self:attention_back(", queries", 0, false, g.blocks, kernels)
    self:attention_back(", keys", 1, true, g.blocks, kernels)
  end
  self:kernel({ name = "qkv's bias gradient", kernel = "bias_gradient_k<bf16>", warps = 4,
    blocks = g.chunks * 3, trips = same(g.each), bytes = g.T * 3 * H * 2, aside = true })
  self:sums("qkv", 3 * H)
  self:product("qkv_dw", 3 * H, H, true)
  self:squares("the layer", 4 * H * H + 2 * H * F)
  self:product("qkv_dx", 3 * H, H)
  if self.columns then
    self:add_up("the layer", self.columns)
  end
end

-- -- times ----------------------------------------------------------------------------------------

-- Adds to a launch what is counted and what follows: instructions (a warp's), resident (blocks on a
-- multiprocessor), seconds.
local function time(launch, kernels, uses)
  local bytes = launch.bytes / BANDWIDTH
  if launch.flops then
    launch.seconds = launch.micro and launch.micro * 1e-6
      or math.max(launch.flops / (MATRIX * MATRIX_SHARE), bytes) + NODE
    return
  end
  local kernel, use = kernels[launch.kernel], uses[launch.kernel]
  if not (kernel and use) then
    io.stderr:write("predict: there is no kernel ", launch.kernel, "\n")
    os.exit(1)
  end
  local w = launch.warps
  launch.instructions = sass.executed(kernel, launch.trips or function() return 1 end)
  launch.registers, launch.memory = use.registers, use.shared + (launch.shared or 0)
  launch.resident = math.floor(math.min(BLOCKS, WARPS / w,
    REGISTERS / (ceil_div(use.registers, 8) * 8 * 32 * w), SHARED / (launch.memory + 1024)))
  local waves = launch.blocks / (PROCESSORS * launch.resident)
  -- Warps of a scheduler, where all blocks are there at once fewer than fit.
  local warps = math.min(launch.resident, launch.blocks / PROCESSORS) * w / SCHEDULERS
  warps = math.max(warps, 0.25)
  local issue = launch.instructions * (warps + 1.3) * math.max(1, waves) / CLOCK
  if waves > 1 and waves < 4 then
    issue = issue / waves * math.ceil(waves)
  end
  launch.seconds = math.max(issue, bytes) + FILL + NODE - (launch.early and EARLY or 0)
end

local function print_shape(shape, list)
  print(("\n%s (%d tokens): one layer's pass, there and back\n"):format(shape.name, list.sizes.T))
  print("| launch | kernel | instructions of a warp | warps | MB | registers | KB shared | "
    .. "blocks an SM | µs | of a pass, ms |\n|---|---|---|---|---|---|---|---|---|---|")
  for _, x in ipairs(list) do
    local count = x.count or 1
    if x.flops then
      print(("| %s%s | cuBLASLt, %.1f GFLOP | | | %.1f | | | | %.1f | %.2f |"):format(x.name,
        x.aside and " *" or "", x.flops / 1e9, x.bytes / 1e6, x.seconds * 1e6, x.seconds * L * 1e3))
    else
      print(("| %s%s%s | %s | %d | %d | %.1f | %d | %.1f | %d | %.1f | %.2f |"):format(x.name,
        count > 1 and " × " .. count or "", x.aside and " *" or "", x.kernel, x.instructions,
        x.blocks * x.warps, x.bytes / 1e6, x.registers, x.memory / 1024, x.resident,
        x.seconds * 1e6, x.seconds * count * L * 1e3))
    end
  end
end

-- Embeddings and the head at few tokens. Beside those of its layers a recorded pass (on the shim)
-- has 11 nodes there, of which two are products, and 22 back, of which four are products and one
-- writes the word table's zeros, beside the chain. At the end the squares of embeddings and of all
-- that is no layer's matrix are added up in three launches that read these.
local KERNELS_THERE, KERNELS_BACK, PRODUCTS = 9, 17, 6
local TABLES = PARAMETERS - L * (4 * H * H + 2 * H * F)
local function rest_of(small)
  if not small then
    return 0.9e-3
  end
  return (KERNELS_THERE + KERNELS_BACK) * SMALL + PRODUCTS * (SMALL_PRODUCT + HEAD_PRODUCT) / 2
    + TABLES * 4 / COPY / COPY_SHARE + 3 * SMALL, 50265 * H * 4 / BANDWIDTH
end

-- Seconds of a pass in one chain, and with what nothing waits for (*) on a branch of its own, which
-- runs beside backward.
local function pass_of(list, small)
  local back, aside, all = 0, 0, 0
  for i, x in ipairs(list) do
    local seconds = x.seconds * (x.count or 1)
    all = all + seconds
    if x.aside then
      aside = aside + seconds
    elseif i > list.forward_ends then
      back = back + seconds
    end
  end
  local rest, zeros = rest_of(small)
  local one = L * all + rest + (zeros or 0)
  return one, small and one - HIDDEN * math.min(L * back, L * aside + zeros) or one, rest
end

local function report(shape, kernels, uses)
  local list = setmetatable({ sizes = sizes_of(shape), few = shape.few }, Launches)
  list:forward()
  list:backward(kernels)
  for _, launch in ipairs(list) do
    time(launch, kernels, uses)
  end
  print_shape(shape, list)
  local one, forked, rest = pass_of(list, shape.few ~= nil)
  -- Norms whose squares were added up beside backward are not read again.
  local bytes = PARAMETERS * (shape.bytes - (shape.norms or 0))
  local vectors = bytes / COPY / COPY_SHARE
  local step = 2 * forked + vectors + STEP_REST
  print(("\nEmbeddings and the head: %.2f ms of a pass."):format(rest * 1e3))
  print(("\nA pass in one chain %.2f ms, with what is marked * beside it %.2f ms. A step of %s: "
    .. "two passes, %.2f ms for vectors, %.2f ms for the rest: **%.2f ms** (in one chain %.2f ms)"
    .. "; at most %.0f ms: %s."):format(one * 1e3, forked * 1e3, shape.type, vectors * 1e3,
    STEP_REST * 1e3, step * 1e3, (step + 2 * (one - forked)) * 1e3, shape.limit * 1e3,
    step <= shape.limit and "met" or "**not met**"))
  return step <= shape.limit
end

local sass_file = assert(io.open(arg[1]))
local kernels = sass.read(sass_file:lines())
local uses = {}
for line in io.lines(arg[2]) do
  local name, registers, shared = line:match("^(.-)\t(%d+)\t(%d+)$")
  uses[name] = { registers = tonumber(registers), shared = tonumber(shared) }
end
local all_met = true
for _, shape in ipairs(SHAPES) do
  all_met = report(shape, kernels, uses) and all_met
end
os.exit(all_met and 0 or 1)
