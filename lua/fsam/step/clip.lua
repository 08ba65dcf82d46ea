--- Clipping: d scaled to a norm of at most C (fairseq's coefficient). C = 0 only measures.
-- @tparam table d a vector
-- @tparam table norm its norm, a scalar
-- @tparam number limit C
-- @treturn table d · min(1, C / (‖d‖ + 1e-6))
return function(d, norm, limit)
  return limit == 0 and d or d * (limit / (norm + 1e-6)):min(1)
end
