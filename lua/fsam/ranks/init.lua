--- Ranks: the processes that train one model together. Owns: who this process is, and sums over
-- all ranks. Leaves to others: how numbers travel (a backend's two collectives), which
-- sums a step needs (fsam.pass, fsam.step), how samples are shared out (fsam.data.task).
--
-- Every method that sums is a collective: all ranks call it, in the same order, or they wait for
-- each other for ever. All of them get the same bits back. A decision about what happens next (a
-- choice of samples, a skipped step, the end of a run) must come from a sum, or from values that
-- are the same on every rank, and never from one rank's own samples.
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")

local Ranks = {}
Ranks.__index = Ranks

local M = {}

--- The ranks as one process sees them.
-- @tparam table o rank (from 0) and size; when size exceeds 1 also the backend's collectives:
--   add(tensor)        replaces an f32 tensor by the sum of the ranks' tensors; each element is
--                      added in the order of ranks
--   add_numbers(list)  returns a new list, the sums of the ranks' equally long lists of numbers
--   reduce_scatter(tensor, starts)   of the sum, each rank gets its own range only
--   all_gather(tensor, starts)       every rank gets each rank's range (engine/fsam.h)
--   parts              nil, or how a tensor is summed in parts beside other work of a GPU:
--                      possible(device) → boolean, which is asked before any sum;
--                      add(tensor, first, count, starts), with starts as reduce_scatter;
--                      finish(tensor)
-- @treturn table ranks: rank, size, is_first, and the methods below
function M.new(o)
  return setmetatable({ rank = o.rank, size = o.size, is_first = o.rank == 0, add = o.add,
    add_numbers = o.add_numbers, reduce_scatter = o.reduce_scatter, all_gather = o.all_gather,
    parts = o.parts }, Ranks)
end

--- The shape of ranks (fsam.base.schema).
M.shape = arguments.object("ranks, of fsam.ranks.new", { rank = "number", size = "number" })

arguments.guard("fsam.ranks", M, {
  new = { arguments.fields({ rank = schema.integer(0), size = schema.integer(1),
    add = arguments.optional(arguments.func), add_numbers = arguments.optional(arguments.func),
    reduce_scatter = arguments.optional(arguments.func),
    all_gather = arguments.optional(arguments.func),
    parts = arguments.optional(arguments.table) }) },
})

--- One process alone: every sum is its own value.
M.alone = M.new({ rank = 0, size = 1 })

-- Where a pass leaves the gradient of a vector.
local function memory_of(vector)
  local share = vector.params.share
  return share and share.exchange or vector.raw
end

--- Sums a vector of the model over ranks, in place. To the vector language this is a write like a
-- pass's: sets that are queued for transient vectors run first, and expressions that were built
-- before keep the old value. Where each rank holds a share of the vectors (fsam.vector.share), the
-- gradient of a pass comes to the vector only by this, also when one rank makes the sum alone.
-- @tparam table vector fsam.vector: g, or another that is not persistent
-- @tparam[opt] table parcels where `sums_in_parts`: the list of `send`, for what is not sent yet
function Ranks:sum(vector, parcels)
  local params = vector.params
  if self.size == 1 and not params.share then
    return
  end
  params:flush()
  self:sums_in_parts(vector) -- the first time all ranks decide by it which way sums go
  if parcels then
    repeat
      local sent = self:send(vector, parcels)
    until not sent
    self.parts.finish(memory_of(vector))
  end
  if params.share then
    params.share:receive(vector, parcels ~= nil or self.size == 1)
  elseif not parcels then
    self.add(vector.raw)
  end
  params:touch(vector)
end

--- Can a vector be summed in parts, beside the work of a pass that still writes the others?
function Ranks:sums_in_parts(vector)
  return self.size > 1 and self.parts ~= nil and self.parts.possible(vector.params.device)
end

--- Begins to sum the next part of a vector, whose values are final.
-- @tparam table vector where `sums_in_parts`
-- @tparam table parcels a list of { first, count } of elements, the same on every rank; `sent`:
--   how many of them were sent in this pass
-- @treturn boolean false when there was none left
function Ranks:send(vector, parcels)
  local parcel = parcels[parcels.sent + 1]
  if not parcel then
    return false
  end
  local share = vector.params.share
  self.parts.add(memory_of(vector), parcel.first, parcel.count, share and share.starts)
  parcels.sent = parcels.sent + 1
  return true
end

--- Sums plain numbers over ranks.
-- @tparam {number,…} list as long on every rank
-- @treturn {number,…} the sums
function Ranks:sum_numbers(list)
  return self.size == 1 and list or self.add_numbers(list)
end

--- Waits until all ranks have come here.
function Ranks:meet()
  self:sum_numbers({ 0 })
end

--- Is the flag true on any rank?
-- @treturn boolean the same on every rank
function Ranks:any(flag)
  return self:sum_numbers({ flag and 1 or 0 })[1] > 0
end

--- The ranks' lists of numbers, one after another in the order of ranks.
-- @tparam {number,…} list of any length; lengths may differ between ranks
-- @treturn {number,…} the same on every rank
function Ranks:gather(list)
  if self.size == 1 then
    return list
  end
  local lengths = {}
  for rank = 0, self.size - 1 do
    lengths[rank + 1] = rank == self.rank and #list or 0
  end
  lengths = self:sum_numbers(lengths)
  local own, all = 0, {}
  for rank, length in ipairs(lengths) do
    own = rank - 1 == self.rank and #all or own
    for _ = 1, length do
      all[#all + 1] = 0
    end
  end
  for i, value in ipairs(list) do
    all[own + i] = value
  end
  return self:sum_numbers(all)
end

-- The ranks' texts, in the order of ranks.
local function gather_text(self, text)
  local bytes, lengths, texts = { text:byte(1, -1) }, self:gather({ #text }), {}
  local all, at = self:gather(bytes), 0
  for rank, length in ipairs(lengths) do
    local own = {}
    for i = 1, length do
      own[i] = string.char(all[at + i])
    end
    texts[rank], at = table.concat(own), at + length
  end
  return texts
end

-- The first line of one text that is not in the other at its place.
local function first_difference(text, other)
  local next_line = other:gmatch("[^\n]+")
  for line in text:gmatch("[^\n]+") do
    local its = next_line()
    if line ~= its then
      return line, its or "nothing"
    end
  end
end

--- Do all ranks hold the same values? What follows would wait for ever, or compute nonsense.
-- @tparam table values name → text: what each rank has, under the same names
-- @raise one line on every rank: the first value, in the order of names, that a rank has and rank 0
--   has not
function Ranks:agree(values)
  if self.size == 1 then
    return
  end
  local lines = {}
  for i, name in ipairs(registry.sorted(values)) do
    lines[i] = name .. " " .. values[name]
  end
  local all = gather_text(self, table.concat(lines, "\n"))
  for rank = 1, self.size - 1 do
    local its, ours = first_difference(all[rank + 1], all[1])
    if its then
      errors.raise("rank %d has %s, rank 0 has %s; start all ranks with the same program, options "
        .. "and files", rank, its, ours)
    end
  end
end

--- Is a batch of a step this rank's? Each rank has every size-th batch, so that a short last step
-- is shared out too.
-- @tparam integer i number of the batch in the step, from 1
-- @treturn boolean
function Ranks:owns(i)
  return (i - 1) % self.size == self.rank
end

return M
