--- The parts of a gradient that ranks sum while backward still computes the others. A parcel is a
-- range of the vector; its gradient is final when the last op that writes into it has run. Owns:
-- where parcels are cut, and after which entries of the tape they may be sent. Leaves to others:
-- running backward (tape.lua), what was written (gradients.lua), summing (fsam.ranks).
--
-- Every rank sends the same parcels in the same order, whatever it computes: one without samples
-- sends them all at the end. So the cut follows from the model alone: backward comes to the last
-- layer first, hence from the last matrix to the first, then embeddings, and what is kept in f32
-- (norms, biases, head), which no layer ends with.
local M = {}

--- Cuts a model's vector.
-- @tparam table params fsam.vector.params
-- @tparam integer size elements that make a parcel; one may have more, a small last one fewer
-- @treturn {table,…} first (from 0), count; number[parameter]: which parcel has it
function M.cut(params, size)
  local list, last, number = {}, params.act, {}
  local function close(first, to)
    if to > first then
      list[#list + 1] = { first = first, count = to - first }
    end
  end
  for i = #params.parameters, 1, -1 do
    local parameter, before = params.parameters[i], params.parameters[i - 1]
    if parameter.offset < params.act then
      number[parameter] = #list + 1
      if last - parameter.offset >= size or not before or before.kind ~= parameter.kind then
        close(parameter.offset, last)
        last = parameter.offset
      end
    end
  end
  close(params.act, params.total)
  for _, parameter in ipairs(params.parameters) do
    number[parameter] = number[parameter] or #list
  end
  list.number, list.sent = number, 0
  return list
end

--- The parcels in which ranks sum the gradient of a pass beside its backward.
-- @tparam table pass fsam.pass, which keeps them
-- @tparam table request what `evaluate` was asked for
-- @tparam table together fsam.ranks
-- @treturn ?table with `vector`; nil where they cannot
function M.request(pass, request, together)
  local into = request.into
  if not request.backward or request.accumulate or request.squares
    or request.skip and next(request.skip) or not together:sums_in_parts(into) then
    return nil
  end
  pass.parcels = pass.parcels or M.cut(pass.model.params, pass.parcel)
  pass.parcels.vector, pass.parcels.sent = into, 0
  return pass.parcels
end

--- Backward in one piece, after which nothing is sent.
M.whole = { { to = 1, count = 0, views = {} } }

--- When the parcels may be sent: as a pass went, so the next of as many entries will go.
-- @tparam table parcels of `cut`
-- @tparam table gradients fsam.pass.gradients after a pass's last micro-batch
-- @tparam integer entries of the tape
-- @treturn {table,…} pieces of backward: `to`, the entry that a piece ends with; `count`, how many
--   parcels may be sent after it; `views`, of these parcels
function M.schedule(parcels, gradients, entries)
  local final, views = {}, {}
  for k = 1, #parcels do
    final[k], views[k] = entries, {}
  end
  local wrote = {}
  for view, entry in pairs(gradients.written) do
    for _, parameter in ipairs(view.parameters) do
      local k = parcels.number[parameter]
      wrote[parameter] = true
      final[k] = math.min(final[k], entry)
      views[k][#views[k] + 1] = view
    end
  end
  for parameter, k in pairs(parcels.number) do
    if not wrote[parameter] and not parameter.frozen then
      final[k] = 0 -- zeros, written at the end
    end
  end
  local pieces, at = {}, entries
  for k = 1, #parcels do
    at = math.min(at, final[k])
    if at <= 1 then
      break
    end
    local piece = pieces[#pieces]
    if not piece or at < piece.to then
      piece = { to = at, count = 0, views = {} }
      pieces[#pieces + 1] = piece
    end
    piece.count = piece.count + 1
    for _, view in ipairs(views[k]) do
      piece.views[#piece.views + 1] = view
    end
  end
  pieces[#pieces + 1] = { to = 1, count = 0, views = {} }
  return pieces
end

return M
