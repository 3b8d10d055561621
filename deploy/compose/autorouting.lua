-- Sends each CT series to renalct when no more slices of it have come for a while (StableAge in orthanc.json).
-- Results that come back are not CT images, so nothing goes round in a circle. What could not be sent, because renalct
-- was stopped, is tried again at each heart beat; renalct itself knows a study that it was sent twice.

local TARGET = 'renalct'
local CT_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.2'
local ENHANCED_CT_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.2.1'
local failed = {}

local function isCT(seriesId)
  local instances = ParseJson(RestApiGet('/series/' .. seriesId))['Instances']
  local class = RestApiGet('/instances/' .. instances[1] .. '/metadata/SopClassUid')
  return class == CT_IMAGE_STORAGE or class == ENHANCED_CT_IMAGE_STORAGE
end

local function isOurs(jobId)
  local job = ParseJson(RestApiGet('/jobs/' .. jobId))
  return job['Type'] == 'DicomModalityStore' and job['Content']['Description'] == TARGET
end

function OnStableSeries(seriesId, tags, metadata)
  if isCT(seriesId) then
    RestApiPost('/modalities/' .. TARGET .. '/store',
                DumpJson({ Resources = { seriesId }, Asynchronous = true, Permissive = false }, true))
  end
end

function OnJobFailure(jobId)
  failed[jobId] = true
end

function OnHeartBeat()
  local again = failed
  failed = {}
  for jobId in pairs(again) do
    RestApiPost('/jobs/' .. jobId .. '/resubmit', '')
  end
end
