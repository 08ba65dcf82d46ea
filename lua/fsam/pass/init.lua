--- Passes: forward, losses and backward over the samples of a step, at whatever the working copy c
-- holds. Owns: the step arena, and the function `evaluate` that a step calls. Leaves to others:
-- which op follows which (fsam.models), how batches lie on the device (device_batch.lua), how
-- backward runs (tape.lua), where gradients go (gradients.lua), which passes have squares
-- (squares.lua), when a pass is recorded as CUDA graphs (cuda_graphs.lua), what it found
-- (outputs.lua), what a step does with a gradient (fsam.step).
local arguments = require("fsam.base.arguments")
local C = require("fsam.C")
local Grads = require("fsam.pass.gradients")
local Outputs = require("fsam.pass.outputs")
local schema = require("fsam.base.schema")
local source_line = require("fsam.base.source_line")
local storage = require("fsam.vector.storage")
local Tape = require("fsam.pass.tape")
local Tensor = require("fsam.base.tensor")
local attention_rng = require("fsam.pass.attention_rng")
local chosen = require("fsam.pass.chosen")
local cuda_graphs = require("fsam.pass.cuda_graphs")
local device_batch = require("fsam.pass.device_batch")
local devices = require("fsam.base.device")
local errors = require("fsam.errors")
local losses_of = require("fsam.pass.losses")
local ops = require("fsam.pass.ops")
local packing = require("fsam.data.packing")
local parcels_of = require("fsam.pass.parcels")
local ranks = require("fsam.ranks")
local squares = require("fsam.pass.squares")
local ffi, lib, check = C.ffi, C.lib, C.check

local Pass = {}
Pass.__index = Pass

local bound = setmetatable({}, { __mode = "k" }) -- function of Pass:bind → its pass

local optional, natural = arguments.optional, schema.integer(0)
local LIST = schema.list(packing.shape)
local check_request = arguments.checker("evaluate", {
  arguments.fields({
    into = optional(storage.is_target), backward = optional(schema.boolean),
    choice = optional(schema.list(natural)), skip = optional(arguments.table),
    mean_over = optional(schema.number(0)), accumulate = optional(schema.boolean),
    alone = optional(schema.boolean), batches = optional(LIST), draw = optional(natural),
    squares = optional(schema.boolean),
  }),
})

-- A gradient needs a vector of this very model to lie in.
local function check_into(self, request)
  local into = request.into
  if request.backward and not into then
    source_line.fail("evaluate: backward needs into, a vector of the model such as params.g")
  elseif into and not rawequal(into.params, self.model.params) then
    source_line.fail("evaluate: into is %s of another model", into.name)
  end
end

-- What a training loss has besides the plain one: nil, or smoothing and weights.
local function settings_of(o)
  local weights, smoothing = o.class_weights, o.label_smoothing or 0
  losses_of.check(o.loss or "cross_entropy", { weights = weights, smoothing = smoothing })
  local classes = o.model.config.num_labels
  if weights and #weights ~= classes then
    errors.raise("the model has %d labels, class_weights has %d numbers", classes, #weights)
  end
  return (weights or smoothing > 0) and { weights = weights, smoothing = smoothing } or nil
end

--- @tparam table o model; loss = "cross_entropy" (default) or another of fsam.pass.losses; of
--   passes that train: class_weights (a number for each label; default: all 1) and
--   label_smoothing (default 0); seed of dropout (default 1); dropout_rng = "shared" (default:
--   every pass of a step draws the same dropout) or "fresh"; attention_dropout_rng = "own"
--   (default) or "cudnn" (fsam.pass.attention_rng); ranks (fsam.ranks; default: this
--   process alone); parcel: elements of a gradient that ranks sum at once beside backward, where
--   they can (default 2^23, 32 MB)
function Pass.new(o)
  local config, rng = o.model.config, lib.FSAM_RNG_OWN
  if o.attention_dropout_rng then
    rng = attention_rng.number(o.model.device, o.attention_dropout_rng, o.model.params.compute,
      config.hidden_size / config.num_attention_heads)
  end
  return setmetatable({
    model = o.model,
    loss = o.loss or "cross_entropy",
    kind = losses_of.get(o.loss or "cross_entropy"),
    settings = settings_of(o),
    seed = o.seed or 1,
    ranks = o.ranks or ranks.alone,
    fresh = o.dropout_rng == "fresh",
    arena = devices.arena(o.model.device, "step"),
    graphs = cuda_graphs.new(o.model.device, rng ~= lib.FSAM_RNG_OWN and 1 or 0),
    attention_rng = rng,
    gradients = {},
    parcel = o.parcel or 2 ^ 23,
    schedules = {}, -- entries of a tape → when parcels may be sent (fsam.pass.parcels)
  }, Pass)
end

-- A host batch on the device, with the labels and, where it trains, the settings of the loss.
local function to_device(self, host, pass, training)
  return device_batch.send(host, { arena = self.arena, pass = pass, kind = self.kind,
    classes = self.model.config.num_labels, settings = training and self.settings or nil,
    tokens = self.graphs:tokens(host), longest = self.graphs:longest(host) })
end

-- The key of a micro-batch's graphs: all that decides what work it is, and on which memory. Nil for
-- a pass that skips parameters, or of squares: graphs hold the work of all gradients, so such a
-- pass runs plainly.
local function key_of(self, host, o, first)
  local grads = o.gradients
  if o.squares or grads and next(grads.skip) then
    return nil
  end
  local writes = grads and first and not grads.accumulate and "set" or "add"
  return table.concat({ self.graphs:tokens(host), host.samples, self.graphs:longest(host),
    tostring(o.training), grads and grads.number or 0, writes,
    grads and grads.early and "early" or "",
    o.last and o.parcels and "parcels" or "" }, " ")
end

-- Backward of one micro-batch. Of the last one of a pass whose ranks sum parcels, each is sent as
-- soon as it is final. When that is, the first pass over as many entries finds out.
local function backward(self, work, tape, o)
  local grads, parcels, shape = o.gradients, o.last and o.parcels or nil, work.shape or {}
  local schedule = parcels_of.whole
  if parcels then
    schedule = work.mode == "replayed" and shape.schedule or tape and self.schedules[#tape.entries]
      or parcels_of.whole
    shape.schedule = schedule
  end
  local entries = tape and #tape.entries
  local done = work:pieces("backward", #schedule, function(n)
    return tape:backward(schedule[n].to)
  end, function(n)
    grads:seal(schedule[n].views)
    for _ = 1, schedule[n].count do
      o.ranks:send(parcels.vector, parcels)
    end
  end)
  if done then
    work:finish(grads)
    if parcels and entries and schedule == parcels_of.whole then
      self.schedules[entries] = parcels_of.schedule(parcels, grads, entries)
    end
  end
  return done
end

-- Forward of one micro-batch; with gradients, backward too. Returns its losses [B] and logits [B,C]
-- (Tensor.later): on a GPU they reach the host while backward still runs. Returns nil when
-- recording failed; then the micro-batch must begin again.
local function try_micro_batch(self, host, o, pass, first)
  local grads = o.gradients
  lib.fsam_arena_reset(self.arena)
  local work = self.graphs:begin(key_of(self, host, o, first))
  local batch, labels, settings, first_rows = to_device(self, host, pass, o.training)
  local losses = Tensor.new(self.arena, "f32", { host.samples }, "losses")
  local classes = self.model.config.num_labels
  local logits = Tensor.new(self.arena, "f32", { host.samples, classes }, "logits")
  local tape
  local done = work:piece("forward", function()
    tape = Tape.new({ arena = self.arena, batch = batch, first_rows = first_rows,
      training = o.training, grads = grads, squares = o.squares,
      attention_rng = self.attention_rng, device = self.graphs:beside(batch.tokens) })
    local device, biases = self.model.device, self.model.params.c_rest
    check(lib.fsam_linear_biases(device, biases))
    local ok, y = pcall(self.model.graph.forward, self.model.graph, tape)
    check(lib.fsam_linear_biases(device, nil))
    if not ok then
      error(y, 0)
    end
    ops.loss(tape, self.kind, losses, y, labels, settings)
    logits:copy(y)
  end)
  if not done then
    return nil
  end
  losses, logits = losses:later(), logits:later()
  if grads then
    if not backward(self, work, tape, o) then
      return nil
    end
  end
  return losses, logits
end

-- The same, begun again where recording failed.
local function micro_batch(self, host, o, pass, first)
  local losses, logits = try_micro_batch(self, host, o, pass, first)
  if not losses then
    if o.gradients and first then
      o.gradients:restart() -- where recording failed, nothing was written
    end
    losses, logits = try_micro_batch(self, host, o, pass, first)
  end
  return losses, logits
end

local function count_samples(list)
  local n = 0
  for _, host in ipairs(list) do
    n = n + host.count
  end
  return n
end

--- One pass over micro-batches. Its gradient is this rank's share of the mean over the samples of
-- all ranks: the ranks' gradients add up to the mean.
-- @tparam table list host batches, this rank's
-- @tparam table o training; key = { seed, step, draw }; gradients (fsam.pass.gradients) or nil;
--   mean_over, how many samples the mean is over (default: those of the pass, on all ranks); ranks
--   (fsam.ranks; default: this process alone); squares: the gradients are Σ_b g_b² instead; parcels
--   of the gradient (fsam.pass.parcels), with `vector`, where ranks sum them as they become final
-- @treturn table fsam.pass.outputs
function Pass:run(list, o)
  local together = o.ranks or ranks.alone
  local samples = together:sum_numbers({ count_samples(list) })[1]
  local key = o.key
  local pass = ffi.new("fsam_pass", key.seed, key.step, key.draw, 1 / (o.mean_over or samples))
  local result = Outputs.new(samples, together)
  self.model.params:flush()
  if o.gradients then
    o.gradients:forget_squares()
  end
  for i, host in ipairs(list) do
    o.last = i == #list
    local losses, logits = micro_batch(self, host, o, pass, i == 1)
    result:add(host, losses, logits)
  end
  return result
end

-- May the squares of the pass's gradient be added up while it is made, for its norm? Where the pass
-- leaves all of it as it will be, in one micro-batch of few tokens.
local function is_early(self, request, list, together)
  return not (request.squares or request.accumulate or request.skip and next(request.skip))
    and #list == 1 and together.size == 1 and not self.model.params.share
    and self.graphs:beside(self.graphs:tokens(list[1])) ~= nil
end

-- The gradient views of a vector, made once and numbered.
local function gradients_of(self, into)
  local known = self.gradients[into]
  if not known then
    self.gradient_count = (self.gradient_count or 0) + 1
    known = Grads.new(self.model.weights, into)
    known.number = self.gradient_count
    self.gradients[into] = known
  end
  return known
end

--- The function `evaluate` that a step calls for each of its passes.
--
--   evaluate({ into = g, backward = true }) → fsam.pass.outputs
--     into        a vector of the model (params.g, …), which gets the mean gradient; with backward
--     backward    false: forward and losses only
--     choice      ordinals of the samples to see (default: all of the step)
--     skip        parameter → true: parameters whose gradient is 0 in this pass
--     mean_over, accumulate   several passes make one mean: over how many samples it is; does this
--                 pass add its share to what the vector holds?
--     alone       true: over this rank's samples alone, and nothing is summed. Without it a pass is
--                 over the samples of all ranks: gradient, losses and choice are theirs together
--     batches     other micro-batches than the step's, the same on every rank; each runs them alone
--     squares     true: `into` gets Σ_b g_b² instead, the sum over the samples of the square,
--                 element by element, of the gradient of a sample's own loss. With backward; the
--                 result is nil, and nothing has run, where that cannot be (Pass.can_square)
--     draw        which dropout it has: the `draw` of an earlier pass of the step, whose dropout it
--                 repeats. Without it the pass draws like the others ("shared") or anew ("fresh")
--
-- The result's `draw` says which dropout the pass had.
-- @tparam table o step (number of the update, from 0); batches (host batches, this rank's);
--   training (is dropout on?)
-- @treturn function evaluate
function Pass:bind(o)
  local draws = 0
  local function evaluate(request, ...)
    check_request(request, ...)
    check_into(self, request)
    local list = request.batches or o.batches
    if request.choice then
      list = chosen.samples(list, request.choice)
    end
    local gradients = request.backward and gradients_of(self, request.into) or nil
    if request.squares and not squares.possible(self, gradients) then
      return nil
    end
    local together = not (request.alone or request.batches) and self.ranks or ranks.alone
    if gradients then
      gradients:begin(request.skip, request.accumulate, is_early(self, request, list, together))
    end
    local draw = request.draw
    if not draw then
      draw = self.fresh and draws or 0
      draws = (draws + 1) % 8
    end
    local parcels = parcels_of.request(self, request, together)
    local result = self:run(list, {
      ranks = together,
      training = o.training,
      key = { seed = self.seed, step = o.step, draw = draw },
      gradients = gradients,
      mean_over = request.squares and 1 or request.mean_over,
      squares = request.squares,
      parcels = parcels,
    })
    result.draw = draw
    if gradients then
      gradients:finish()
      self.model.params:touch(request.into)
      together:sum(request.into, parcels)
      if gradients.early then
        gradients:square_rest()
      end
    end
    return result
  end
  bound[evaluate] = self
  return evaluate
end

--- May this function be asked for squares? True of those that `bind` made, unless their pass is
-- known to have none: of models that read weights several times in a pass.
-- @tparam function evaluate
-- @treturn boolean
function Pass.can_square(evaluate)
  local self = bound[evaluate]
  return self ~= nil and self.squares ~= false
end

--- Says that a function does what one of `bind` does, and something beside it (a profile's clock):
-- it may be asked for the same.
-- @tparam function wrapper
-- @tparam function evaluate
-- @treturn function wrapper
function Pass.stands_for(wrapper, evaluate)
  bound[wrapper] = bound[evaluate]
  return wrapper
end

--- Forward of one host batch, without dropout.
-- @treturn table logits, a table of C numbers per sample
-- @treturn table losses, one number per sample
function Pass:predict(host)
  local result = self:run({ host }, { training = false, key = { seed = 0, step = 0, draw = 0 } })
  return result:logits(), result:losses()
end

--- What a user should know about how the passes run: a line, once, when some of them can never run
-- from CUDA graphs; else nil.
function Pass:remark()
  return self.graphs:remark()
end

--- Live and peak bytes of the step arena.
function Pass:memory()
  return devices.usage(self.arena)
end

local PASS = arguments.object("a pass, of fsam.pass.new",
  { model = "table", arena = "cdata", gradients = "table" })

--- The shape of a model with parameters and a graph (fsam.base.schema).
Pass.model_shape = arguments.object("a model, of fsam.models.new or fsam.models.load",
  { params = "table", weights = "table", graph = "table", device = "cdata", config = "table" })

arguments.guard("fsam.pass", Pass, {
  new = { arguments.fields({ model = Pass.model_shape,
    loss = optional(schema.string), seed = optional(natural),
    class_weights = optional(schema.list(schema.number(0), 1)),
    label_smoothing = optional(schema.number(0, 1)),
    dropout_rng = optional(schema.one_of({ "shared", "fresh" })),
    attention_dropout_rng = optional(schema.one_of(attention_rng.NAMES)),
    ranks = optional(ranks.shape), parcel = optional(schema.integer(1)) }) },
  bind = { self = PASS, arguments.fields({ step = natural, batches = LIST,
    training = optional(schema.boolean) }) },
  can_square = { arguments.arg("evaluate", arguments.func) },
  stands_for = { arguments.arg("wrapper", arguments.func),
    arguments.arg("evaluate", arguments.func) },
  predict = { self = PASS, arguments.arg("batch", packing.shape) },
  memory = { self = PASS },
  remark = { self = PASS },
  run = { self = PASS, arguments.arg("batches", LIST), arguments.fields({
    training = optional(schema.boolean),
    key = schema.closed({ seed = natural, step = natural, draw = natural }),
    gradients = optional(arguments.table), mean_over = optional(schema.number(0)),
    ranks = optional(ranks.shape), squares = optional(schema.boolean),
    parcels = optional(arguments.table) }) },
})

return Pass
