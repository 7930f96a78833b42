// The 24 analyzers as people think of them. Names are the registry's; what each finds, /health says.

export const COLUMNS = [
  [
    ['Seen', 'things', {
      object_detection: 'Objects',
      background_segmentation: 'Background',
      body_pose: 'Poses',
      age_estimation: 'Apparent age',
    }],
    ['Said', 'words', {
      speech_transcription: 'Transcript',
      speech_rate: 'Pace of speech',
      speech_flow: 'Fluency',
    }],
    ['Heard', 'sound', {
      audio_analysis: 'Sound',
      audio_environment: 'Sound of the place',
    }],
  ],
  [
    ['Written', 'words', {
      text_overlay: 'Text on screen',
    }],
    ['Cut', 'picture', {
      cut_analysis: 'Cuts',
      scene_segmentation: 'Scenes',
      visual_effects: 'Effects',
    }],
    ['Filmed', 'picture', {
      camera_analysis: 'Camera',
      composition_analysis: 'Composition',
      color_analysis: 'Colours',
      content_quality: 'Picture quality',
    }],
  ],
  [
    ['Felt', 'people', {
      face_emotion: 'Expressions',
      speech_emotion: 'Tone of voice',
      eye_tracking: 'Apparent gaze',
    }],
    ['Sold', 'things', {
      product_detection: 'Products',
    }],
    ['The whole', 'story', {
      qwen2_vl_temporal: 'Video understanding',
      temporal_flow: 'Story',
      cross_analyzer_intelligence: 'Across analyzers',
    }],
  ],
];

export const GROUPS = COLUMNS.flat().map(([title, tone, titles]) => ({ title, tone, names: Object.keys(titles) }));
const TITLES = Object.assign({}, ...COLUMNS.flat().map(([, , titles]) => titles));
export const NAMES = Object.keys(TITLES);
export const titleOf = (name) => TITLES[name] ?? name.replaceAll('_', ' ');
