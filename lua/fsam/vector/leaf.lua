--- Leaves: the values of named things, as expressions. A vector, mask or scalar has one value after
-- another; each is a leaf, and an expression reads the leaf that was the newest when the expression
-- was built. A leaf's `state` says where its value stands:
--
--     queued    nowhere yet: a set waits, `value` is its expression
--     memory    in the named thing's memory
--     spare     in a mask's second copy (`value` is its memory), until the step is committed
--     gone      overwritten by the set at `replaced_by`
--     dropped   nowhere: the step of this set was discarded
--
-- Owns: these states and the ways from one to the next. Leaves to others: when a leaf moves on
-- (queue.lua), memory (storage.lua).
local code = require("fsam.vector.instructions")
local expression = require("fsam.vector.expression")
require("fsam.base.source_line").own()

local M = {}

local Node = expression.Node

local KIND = { [code.F32] = code.VECTOR, [code.ACT] = code.VECTOR,
  [code.BITS] = code.VECTOR + code.BOOL, [code.CELLS] = code.SCALAR }

local count = 0

--- A new value of a named thing. Of two values the one of the larger `number` is the newer.
-- @tparam table storage the named thing
-- @tparam string state "queued", "memory" or "spare"
-- @param value a queued leaf's expression, or a spare one's memory; else false
-- @param line the position of the set, or a text
function M.new(storage, state, value, line)
  count = count + 1
  return setmetatable({ op = code.LEAF, a = false, b = false, c = false, params = storage.params,
    kind = KIND[storage.class], id = 0, cell = false, storage = storage, state = state,
    value = value, line = line, replaced_by = false, number = count }, Node)
end

--- Memory holds this value now; the value before it is gone.
function M.settle(leaf)
  local storage = leaf.storage
  local before = storage.memory
  before.state, before.replaced_by, before.value = "gone", leaf.line, false
  leaf.state, leaf.value = "memory", false
  storage.memory = leaf
end

--- The set at `line` has overwritten this value.
function M.replace(leaf, line)
  leaf.state, leaf.replaced_by, leaf.value = "gone", line, false
end

--- This set will not run; the named thing has the value that its memory holds.
function M.drop(leaf)
  if leaf.state == "queued" or leaf.state == "spare" then
    leaf.state, leaf.value = "dropped", false
  end
  leaf.storage.now = leaf.storage.memory
end

return M
